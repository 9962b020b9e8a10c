//! Credit: how much a sender may send before it is told to go on.

use schema::wire::{CREDIT_BYTES_MAX, CREDIT_START_BYTES};

/// What grown windows of a machine may take together, beyond their start.
pub(super) const GROWN_BYTES_MAX: u32 = 32 * 1024 * 1024;

/// What the agent may still send on one stream of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    open: u32,
    held: u32,
}

/// A sender sent more than was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BeyondCredit;

impl Default for Window {
    fn default() -> Self {
        Self { open: CREDIT_START_BYTES, held: 0 }
    }
}

impl Window {
    const fn grown(self) -> u32 {
        self.open.saturating_sub(CREDIT_START_BYTES)
    }

    /// Takes `bytes` that came; gives what a grown window no longer holds back to `budget`.
    ///
    /// # Errors
    /// They were not granted.
    pub(super) fn take(&mut self, bytes: usize, budget: &mut u32) -> Result<(), BeyondCredit> {
        let bytes = u32::try_from(bytes).map_err(|_| BeyondCredit)?;
        let grown = self.grown();
        self.open = self.open.checked_sub(bytes).ok_or(BeyondCredit)?;
        *budget += grown - self.grown();
        Ok(())
    }

    /// Takes a grant of the receiver; returns the part that may go to the sender now.
    ///
    /// What a window would grow beyond its start comes out of `budget`; what does not
    /// fit is held until [`Window::release`]. Beyond the largest window it is lost;
    /// what came and is still `waiting` for the receiver counts, for it was not read yet.
    pub(super) fn grant(&mut self, bytes: u32, waiting: usize, budget: &mut u32) -> u32 {
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        let taken = self.open.saturating_add(self.held).saturating_add(waiting);
        let room = CREDIT_BYTES_MAX.saturating_sub(taken);
        self.held += bytes.min(room);
        self.release(budget)
    }

    /// Returns what was held and may go to the sender now.
    pub(super) fn release(&mut self, budget: &mut u32) -> u32 {
        let before_growth = CREDIT_START_BYTES.saturating_sub(self.open);
        let now = self.held.min(before_growth.saturating_add(*budget));
        let grown = self.grown();
        self.held -= now;
        self.open += now;
        *budget -= self.grown() - grown;
        now
    }

    /// Returns what the sender may be told so that it can go on as at the start.
    pub(super) const fn top_up(&mut self) -> u32 {
        let missing = CREDIT_START_BYTES.saturating_sub(self.open);
        self.open += missing;
        missing
    }

    /// Gives up the window.
    pub(super) const fn close(self, budget: &mut u32) {
        *budget += self.grown();
    }

    /// Tells whether grants are waiting for budget.
    pub(super) const fn is_held(self) -> bool {
        self.held > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_sends_what_was_granted_and_no_byte_more() {
        let (mut window, mut budget) = (Window::default(), 1000);
        assert_eq!(window.take(CREDIT_START_BYTES as usize, &mut budget), Ok(()));
        assert_eq!(window.take(1, &mut budget), Err(BeyondCredit));
        assert_eq!(window.grant(10, 0, &mut budget), 10);
        assert_eq!((window.take(10, &mut budget), budget), (Ok(()), 1000));
    }

    #[test]
    fn growth_is_paid_from_the_budget_and_given_back() {
        let (mut window, mut budget) = (Window::default(), 1000);
        assert_eq!((window.grant(1500, 0, &mut budget), budget), (1000, 0));
        assert!(window.is_held());
        let (mut other, mut more) = (Window::default(), 0);
        assert_eq!(other.grant(1, 0, &mut more), 0);
        window.take(900, &mut budget).unwrap();
        assert_eq!((window.release(&mut budget), budget), (500, 400));
        window.close(&mut budget);
        assert_eq!(budget, 1000);
    }

    #[test]
    fn no_window_is_larger_than_the_limit() {
        let (mut window, mut budget) = (Window::default(), u32::MAX);
        assert_eq!(window.grant(u32::MAX, 0, &mut budget), CREDIT_BYTES_MAX - CREDIT_START_BYTES);
        assert_eq!(window.grant(1, 0, &mut budget), 0);
    }
}
