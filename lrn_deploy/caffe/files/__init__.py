"""What stands in files of Caffe: text, wire format, blobs; every generation as one record."""
