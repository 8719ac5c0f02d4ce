"""What users write and read: the KVCluster's spec and status, and the CRD made from them."""
