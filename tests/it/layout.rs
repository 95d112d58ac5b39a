//! Holds the shape of the code: which module may name which, and what every file must have.
