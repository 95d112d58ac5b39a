//! Syslog messages from the network.
//! In: TCP connections and UDP datagrams of senders.  Out: their messages.  Owns: nothing.

mod framing;
mod message;
mod rfc3164;
mod rfc5424;
