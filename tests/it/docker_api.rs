//! Docker on hosts of all sorts, through a scripted daemon: labels, proxies, certificates, silence.
