"""From objects of others to ModelRollouts: one file per kind, and `pods` and `plan` for what they share.

Pure: manifests go in, a `Converted` comes out. What has no equal is a note; what nothing can be made of is
`Unconvertible`, with the field that it is about.
"""
