"""Network faults, one file each: what they do to a link, in terms of frames and bytes, without sockets."""
