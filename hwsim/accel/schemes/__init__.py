"""Catalogue of precision schemes, one file each; `hwsim.accel.scheme` says what they answer."""
