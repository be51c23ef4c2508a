"""``classify --engine ray``: many images to Parquet by Ray Data, each exactly once."""
