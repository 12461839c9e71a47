//! A second shell: fake network and clock, whole-room stories.
