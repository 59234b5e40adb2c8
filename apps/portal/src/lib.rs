//! The portal: what is there, at a look, in a browser.
