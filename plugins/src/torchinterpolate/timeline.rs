//! Which pictures leave, at which times, and out of what they are made.
//!
//! Frames that came whole are *good*; between two good ones lie *slots*: the places of frames that are missing or bad, and
//! those that a higher rate adds. A slot is filled from the good frames around it, at its own time between theirs, or, if
//! it may not wait so long, from the two before it. A hole longer than allowed is held: the last good frame stands in.
//! Times are in ns, of one segment that is played forwards.

use super::rate::Rates;

/// Held this long at most; what is beyond is a gap in the stream, as it came.
const HOLD: u64 = 10_000_000_000;

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<F> {
    pub content: F,
    pub time: u64,
    pub duration: Option<u64>,
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Corrupted,
    /// The same picture as the last good one.
    Frozen,
}

/// The place of a picture that did not come, or not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot<F> {
    pub time: u64,
    pub duration: Option<u64>,
    /// The bad frame that was there.
    pub instead: Option<F>,
}

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<F> {
    /// The frame leaves as it came, at this time, which is its own or that of the output's grid beside it, and with this
    /// duration if there is one.
    Keep { content: F, time: u64, duration: Option<u64> },
    /// A picture between two, or beyond them: `at` is 0 at the first and 1 at the second.
    Make { before: F, after: F, at: f32, slot: Slot<F> },
    /// The frame again.
    Hold { content: F, slot: Slot<F> },
    /// A hole that is too long to be filled begins here; what made it.
    Beyond { from: u64, fault: Option<Fault> },
    /// Nothing is shown here.
    Nothing { from: u64, until: u64 },
}

/// How long a slot may wait for the good frame after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: it is filled from past frames.
    Never,
    /// Until the next frame comes, whatever that is like: no picture leaves later than the latency that was reported.
    OneFrame,
    /// For as long as the hole is.
    Always,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    pub rates: Rates,
    /// From good frame to good frame, the longest that is filled.
    pub max_gap: u64,
    /// Frames that did not come are made. Where another rate is wanted, its pictures are made in any case.
    pub missing: bool,
    pub wait: Wait,
}

#[derive(Debug, Clone)]
pub struct Timeline<F> {
    settings: Settings,
    /// The last two good frames; the earlier one only where no hole is between.
    last: Option<Frame<F>>,
    earlier: Option<Frame<F>>,
    /// Bad frames after the last good one that no decision was made about.
    waiting: Vec<(Frame<F>, Fault)>,
    /// What is known to be missing ends here.
    missing: u64,
    /// Where the last picture left.
    left: u64,
    /// The hole after the last good frame is too long.
    given_up: bool,
    /// Where counting began, for output times that have nothing to do with those of the input.
    origin: u64,
}

impl<F: Clone> Timeline<F> {
    pub fn new(settings: Settings) -> Self {
        Timeline {
            settings,
            last: None,
            earlier: None,
            waiting: Vec::new(),
            missing: 0,
            left: 0,
            given_up: false,
            origin: 0,
        }
    }

    /// Takes other settings; the rates, and how long slots wait, stay.
    pub fn set(&mut self, max_gap: u64, missing: bool) {
        (self.settings.max_gap, self.settings.missing) = (max_gap, missing);
    }

    fn fills_holes(&self) -> bool {
        self.settings.missing || self.settings.rates.changes()
    }

    /// The last good frame.
    pub fn last(&self) -> Option<&F> {
        self.last.as_ref().map(|frame| &frame.content)
    }

    /// Whether events have to wait, so as not to overtake frames that do.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A frame comes. `lost` says that something before it is known to be missing.
    pub fn frame(&mut self, frame: Frame<F>, fault: Option<Fault>, lost: bool) -> Vec<Step<F>> {
        let mut steps = Vec::new();
        let Some(last) = self.last.clone() else {
            match fault {
                None => self.begin(frame, &mut steps),
                Some(_) => self.keep(&frame, &mut steps), // there is nothing to put in its place yet
            }
            return steps;
        };
        if frame.time <= last.time {
            // Time stands still or runs back: no slots, and no neighbour either.
            steps = self.drain();
            self.begin(frame, &mut steps);
            return steps;
        }
        match fault {
            None => self.good(last, frame, lost, &mut steps),
            Some(fault) => self.bad(&last, frame, fault, &mut steps),
        }
        steps
    }

    /// Upstream says that nothing will come for a time. `None` where that does not follow what came before, if anything did:
    /// downstream has to hear of it.
    pub fn gap(&mut self, time: u64, duration: Option<u64>) -> Option<Vec<Step<F>>> {
        let last = self.last.clone()?;
        let spacing = self.settings.rates.spacing();
        let shown = last.duration.or(spacing).unwrap_or(0).max(spacing.unwrap_or(0));
        let reached = self.left.max(last.time).saturating_add(shown).max(self.missing).max(self.bad_until());
        if time > reached.saturating_add(shown / 2) {
            return None;
        }
        let until = time.saturating_add(duration.or(spacing)?);
        let mut steps = Vec::new();
        self.missing = self.missing.max(until);
        if self.settings.wait == Wait::Never {
            self.fill_ahead(&last, until, true, &mut steps);
        } else if until.saturating_sub(last.time) > self.settings.max_gap {
            self.give_up(&last, until, None, &mut steps);
        } else if self.settings.wait == Wait::OneFrame {
            // What is next comes at `until` at the earliest.
            self.release(&last, until.saturating_sub(spacing.unwrap_or(0)), &mut steps);
        }
        Some(steps)
    }

    /// The stream ends here, or goes on elsewhere: what waits leaves, and the last frame is shown for as long as it said.
    pub fn drain(&mut self) -> Vec<Step<F>> {
        let mut steps = Vec::new();
        if let Some(last) = self.last.clone() {
            let spacing = self.settings.rates.spacing();
            let end = last.time.saturating_add(last.duration.or(spacing).unwrap_or(0));
            let until = end.max(self.bad_until()).max(self.missing);
            if self.settings.wait == Wait::Never {
                self.fill_ahead(&last, until, false, &mut steps);
            } else {
                self.hold(&last, until, &mut steps);
            }
        }
        *self = Timeline::new(self.settings);
        steps
    }

    /// Where the last of the frames that wait ends.
    fn bad_until(&self) -> u64 {
        let spacing = self.settings.rates.spacing();
        self.waiting.last().map_or(0, |(frame, _)| frame.time.saturating_add(frame.duration.or(spacing).unwrap_or(0)))
    }

    /// The first good frame.
    fn begin(&mut self, frame: Frame<F>, steps: &mut Vec<Step<F>>) {
        self.origin = frame.time;
        self.accept(frame, false, steps);
    }

    fn good(&mut self, last: Frame<F>, frame: Frame<F>, lost: bool, steps: &mut Vec<Step<F>>) {
        let hole = frame.time - last.time;
        let usual = self.earlier.as_ref().map(|earlier| last.time - earlier.time);
        let spacing = self.settings.rates.spacing().or(usual.filter(|_| lost)).filter(|_| self.fills_holes());
        let regular = self.waiting.is_empty() && spacing.is_none_or(|spacing| hole <= spacing + spacing / 2);
        if !regular && !self.given_up && hole > self.settings.max_gap {
            self.announce(&last, steps);
        }
        let given_up = self.given_up;
        let times = if given_up {
            self.nominal(&last, frame.time)
        } else {
            self.settings.rates.between(last.time, frame.time, spacing, self.origin)
        };
        for slot in self.slots(times, frame.time) {
            if given_up {
                self.stand_in(&last, slot, steps);
                continue;
            }
            let at = (slot.time - last.time) as f32 / hole as f32;
            let (before, after) = (last.content.clone(), frame.content.clone());
            self.left = slot.time;
            steps.push(Step::Make { before, after, at, slot });
        }
        if given_up && frame.time - self.left > HOLD {
            steps.push(Step::Nothing { from: self.left, until: frame.time });
        }
        self.accept(frame, !given_up, steps);
    }

    /// Takes a good frame for the last one.
    fn accept(&mut self, frame: Frame<F>, continues: bool, steps: &mut Vec<Step<F>>) {
        self.keep(&frame, steps);
        self.waiting.clear();
        (self.missing, self.given_up) = (0, false);
        let before = self.last.replace(frame.clone());
        self.earlier = before.filter(|_| continues);
        if self.settings.wait == Wait::Never {
            let until = self.settings.rates.next(frame.time).unwrap_or(0);
            self.fill_ahead(&frame, until, false, steps);
        }
    }

    /// A frame leaves as it is, if it lies where a picture is wanted, and none that stood in for it has left.
    fn keep(&mut self, frame: &Frame<F>, steps: &mut Vec<Step<F>>) {
        let spacing = self.settings.rates.output_spacing().unwrap_or(0);
        if frame.time < self.left && frame.time.saturating_add(spacing) <= self.left {
            return;
        }
        let Some((time, duration)) = self.settings.rates.keeps(frame.time, self.origin) else { return };
        // On a grid, something else may have left in its place: a picture that was made ahead, or a frame that came early.
        if time <= self.left && self.last.is_some() && !self.settings.rates.is_multiple() {
            return;
        }
        self.left = time;
        steps.push(Step::Keep { content: frame.content.clone(), time, duration });
    }

    fn bad(&mut self, last: &Frame<F>, frame: Frame<F>, fault: Fault, steps: &mut Vec<Step<F>>) {
        // At least 1, so that the place of the frame itself is not left out.
        let spacing = self.settings.rates.spacing().or(frame.duration).unwrap_or(0).max(1);
        let until = frame.time.saturating_add(spacing);
        // The next frame that can end the hole is one farther.
        let too_long = self.given_up || until - last.time > self.settings.max_gap;
        if self.settings.wait == Wait::OneFrame && !too_long {
            self.release(last, frame.time, steps);
        }
        self.waiting.push((frame, fault));
        if self.settings.wait == Wait::Never {
            self.fill_ahead(last, until, true, steps);
        } else if too_long {
            self.give_up(last, until, Some(fault), steps);
        }
    }

    /// What lies before this time waits no longer. The same picture once more may be a scene that stands still, for which no
    /// motion is foretold.
    fn release(&mut self, last: &Frame<F>, before: u64, steps: &mut Vec<Step<F>>) {
        let still = self.waiting.iter().any(|(_, fault)| *fault == Fault::Frozen);
        let (now, later) = std::mem::take(&mut self.waiting).into_iter().partition(|(frame, _)| frame.time < before);
        self.waiting = now;
        if still {
            self.hold(last, before, steps);
        } else {
            self.fill_ahead(last, before, true, steps);
        }
        self.waiting = later;
    }

    fn announce(&mut self, last: &Frame<F>, steps: &mut Vec<Step<F>>) {
        let fault = self.waiting.last().map(|(_, fault)| *fault);
        steps.push(Step::Beyond { from: last.time, fault });
        self.given_up = true;
    }

    /// The hole is too long: what is in it so far is held.
    fn give_up(&mut self, last: &Frame<F>, until: u64, fault: Option<Fault>, steps: &mut Vec<Step<F>>) {
        if !self.given_up {
            steps.push(Step::Beyond { from: last.time, fault });
            self.given_up = true;
        }
        self.hold(last, until, steps);
    }

    /// The last good frame stands in for all that has not left before `until`.
    fn hold(&mut self, last: &Frame<F>, until: u64, steps: &mut Vec<Step<F>>) {
        let times = self.nominal(last, until);
        for slot in self.slots(times, until) {
            self.stand_in(last, slot, steps);
        }
        self.waiting.clear();
    }

    fn stand_in(&mut self, last: &Frame<F>, slot: Slot<F>, steps: &mut Vec<Step<F>>) {
        self.left = slot.time;
        steps.push(Step::Hold { content: last.content.clone(), slot });
    }

    /// Fills slots before `until` from the last two frames; with `hole`, no farther than allowed.
    fn fill_ahead(&mut self, last: &Frame<F>, until: u64, hole: bool, steps: &mut Vec<Step<F>>) {
        let times = self.nominal(last, until);
        for slot in self.slots(times, until) {
            let too_long = hole && slot.time - last.time > self.settings.max_gap;
            if too_long && !self.given_up {
                self.announce(last, steps);
            }
            match self.earlier.clone().filter(|_| !too_long) {
                None => self.stand_in(last, slot, steps),
                Some(earlier) => {
                    let at = (slot.time - earlier.time) as f32 / (last.time - earlier.time) as f32;
                    let (before, after) = (earlier.content, last.content.clone());
                    self.left = slot.time;
                    steps.push(Step::Make { before, after, at, slot });
                }
            }
        }
        self.waiting.clear();
    }

    /// Times after the last frame at the rate of the output, before `until`, and not without end.
    fn nominal(&self, last: &Frame<F>, until: u64) -> Vec<u64> {
        if !self.fills_holes() {
            return Vec::new();
        }
        let left = self.left.max(last.time);
        let until = until.min(left.saturating_add(HOLD));
        self.settings.rates.after(last.time, until, left, self.origin)
    }

    /// Slots at these times and at those of the bad frames, as far as nothing has left there yet; `end` is what follows.
    fn slots(&self, times: Vec<u64>, end: u64) -> Vec<Slot<F>> {
        let near = self.settings.rates.output_spacing().map_or(0, |spacing| spacing / 2);
        let mut slots: Vec<Slot<F>> =
            times.into_iter().map(|time| Slot { time, duration: None, instead: None }).collect();
        if self.settings.rates.is_multiple() {
            for (frame, _) in self.waiting.iter().filter(|(frame, _)| frame.time < end) {
                let instead = Some(frame.content.clone());
                let free = |slot: &&mut Slot<F>| slot.instead.is_none() && slot.time.abs_diff(frame.time) < near.max(1);
                match slots.iter_mut().filter(free).min_by_key(|slot| slot.time.abs_diff(frame.time)) {
                    Some(slot) => (slot.time, slot.duration, slot.instead) = (frame.time, frame.duration, instead),
                    None => slots.push(Slot { time: frame.time, duration: frame.duration, instead }),
                }
            }
            slots.sort_by_key(|slot| slot.time);
        }
        slots.retain(|slot| slot.time > self.left.saturating_add(if slot.instead.is_some() { 0 } else { near }));
        let ends: Vec<u64> = slots.iter().skip(1).map(|slot| slot.time).chain([end]).collect();
        for (slot, end) in slots.iter_mut().zip(ends) {
            let duration = self.settings.rates.shown(slot.time, self.origin);
            let duration = duration.unwrap_or(end.saturating_sub(slot.time));
            if slot.duration.is_none() || self.settings.rates.changes() {
                slot.duration = Some(duration);
            }
        }
        slots
    }
}

#[cfg(test)]
mod tests;
