"""TODO lrn_deploy/caffe/files."""
