//! What holds keys and does not wipe itself: the ciphers of `ring`, and the state of an HMAC.

use std::mem::MaybeUninit;
use std::ops::Deref;

use zeroize::Zeroize;

/// A value on the heap whose bytes are overwritten when it is dropped. It must not own other memory: that is not
/// reached, and neither is what the compiler left on the stack while it made the value.
pub(super) struct Wiped<T>(Box<MaybeUninit<T>>);

impl<T> Wiped<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Box::new(MaybeUninit::new(value)))
    }
}

impl<T> Deref for Wiped<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `new` wrote a value, and only `drop` takes it away.
        unsafe { self.0.assume_init_ref() }
    }
}

impl<T> Drop for Wiped<T> {
    fn drop(&mut self) {
        // SAFETY: `new` wrote a value, nobody can use it after this, and `MaybeUninit` does not drop it again.
        unsafe { self.0.assume_init_drop() };
        wipe(&mut self.0);
    }
}

/// Not to be left out by the compiler, though nothing reads it.
fn wipe<T>(place: &mut MaybeUninit<T>) {
    place.zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_used_where_it_lies_and_dropped_once() {
        let counted = std::rc::Rc::new(());
        let held = Wiped::new((7, std::rc::Rc::clone(&counted)));
        assert_eq!((held.deref().0, std::rc::Rc::strong_count(&counted)), (7, 2));
        drop(held);
        assert_eq!(std::rc::Rc::strong_count(&counted), 1);
    }

    #[test]
    fn nothing_remains_of_what_is_wiped() {
        let mut place = MaybeUninit::new([0xaa_u8; 48]);
        wipe(&mut place);
        // SAFETY: bytes are bytes whatever they are, and all of them have been written.
        assert_eq!(unsafe { place.assume_init() }, [0; 48]);
    }
}
