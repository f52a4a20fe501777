//! The messages, made from the protos by `build.rs`.
#![allow(missing_docs, dead_code, clippy::all, clippy::pedantic)]

pub mod hookd {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/hookd.v1.rs"));
    }
}

pub mod etcd {
    include!(concat!(env!("OUT_DIR"), "/etcd.rs"));
}

pub mod status {
    include!(concat!(env!("OUT_DIR"), "/status.rs"));
}
