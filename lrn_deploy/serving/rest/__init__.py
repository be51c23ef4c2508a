"""The service over HTTP: paths, and how the protocol is written in JSON, in binary and in images.

The :mod:`.app` is what connections ask. It finds the route (:mod:`.routes`, in three groups) and
says which pages may use it (:mod:`.origins`). :mod:`.codec` and :mod:`.announcement` read and write
inference, :mod:`.images` and :mod:`.multipart` image files.
"""
