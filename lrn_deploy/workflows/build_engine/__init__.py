"""An engine of TensorRT: built, checked for the precision it realised, stored."""
