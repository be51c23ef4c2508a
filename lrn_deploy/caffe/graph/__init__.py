"""TODO lrn_deploy/caffe/graph."""
