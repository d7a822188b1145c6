//! What the helper tells the engine.

use crate::choice;

choice! {
    /// A message of the helper. An [`Report::Exit`] is the last one; others come before it.
    pub enum Report {
        /// The step could not be set up.
        0 => Setup {
            /// What failed and why.
            reason: String,
        },
        /// The program could not be started.
        1 => Start {
            /// 127 when it was not found, else 126.
            code: i32,
            /// The reason in runc's words.
            reason: String,
        },
        /// Everything of the step is gone.
        2 => Exit {
            /// Exit code, 128 + number for a signal.
            code: i32,
            /// Whether memory ran out.
            oom_killed: bool,
        },
        /// Something of the step could not be removed; it ran all the same.
        3 => Leftover {
            /// What is left and why.
            reason: String,
        },
    }
}
