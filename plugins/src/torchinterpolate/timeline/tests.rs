use super::*;

/// Times in ms, frames by their names.
struct Run {
    timeline: Timeline<&'static str>,
    out: Vec<String>,
}

const MS: u64 = 1_000_000;

fn run(input: (u32, u32), output: (u32, u32), max_gap: u64, wait: Wait) -> Run {
    let settings = Settings { rates: Rates::new(input, output), max_gap: max_gap * MS, missing: true, wait };
    Run { timeline: Timeline::new(settings), out: Vec::new() }
}

/// 25 frames a second, 200 ms at most, waiting for neighbours.
fn plain() -> Run {
    run((25, 1), (25, 1), 200, Wait::Always)
}

impl Run {
    fn frame(mut self, content: &'static str, time: u64) -> Self {
        self.came(content, time, None, false);
        self
    }

    fn lost(mut self, content: &'static str, time: u64) -> Self {
        self.came(content, time, None, true);
        self
    }

    fn bad(mut self, content: &'static str, time: u64, fault: Fault) -> Self {
        self.came(content, time, Some(fault), false);
        self
    }

    fn came(&mut self, content: &'static str, time: u64, fault: Option<Fault>, lost: bool) {
        let frame = Frame { content, time: time * MS, duration: Some(40 * MS) };
        let steps = self.timeline.frame(frame, fault, lost);
        self.note(steps);
    }

    fn gap(mut self, time: u64, duration: u64) -> Self {
        match self.timeline.gap(time * MS, Some(duration * MS)) {
            Some(steps) => self.note(steps),
            None => self.out.push("pass on".into()),
        }
        self
    }

    fn drain(mut self) -> Self {
        let steps = self.timeline.drain();
        self.note(steps);
        self
    }

    fn note(&mut self, steps: Vec<Step<&'static str>>) {
        let ms = |time: u64| time as f64 / MS as f64;
        let place = |slot: &Slot<&str>| {
            let duration = slot.duration.map_or("?".into(), |duration| ms(duration).to_string());
            let instead = slot.instead.map_or(String::new(), |bad| format!(" for {bad}"));
            format!("{}+{duration}{instead}", ms(slot.time))
        };
        self.out.extend(steps.into_iter().map(|step| match step {
            Step::Keep { content, time, duration: None } => format!("{content} {}", ms(time)),
            Step::Keep { content, time, duration: Some(duration) } => {
                format!("{content} {}+{}", ms(time), ms(duration))
            }
            Step::Make { before, after, at, slot } => format!("{before}{after}@{at:.3} {}", place(&slot)),
            Step::Hold { content, slot } => format!("{content}= {}", place(&slot)),
            Step::Beyond { from, fault } => format!("beyond {} {fault:?}", ms(from)),
            Step::Nothing { from, until } => format!("nothing {}..{}", ms(from), ms(until)),
        }));
    }

    fn gives(self, expected: &[&str]) {
        assert_eq!(self.out, expected);
    }
}

#[test]
fn frames_that_follow_each_other_leave_as_they_came() {
    plain().frame("a", 0).frame("b", 40).frame("c", 80).drain().gives(&["a 0", "b 40", "c 80"]);
}

#[test]
fn jitter_is_no_gap() {
    plain().frame("a", 0).frame("b", 55).frame("c", 80).frame("d", 139).gives(&["a 0", "b 55", "c 80", "d 139"]);
}

#[test]
fn missing_frames_are_made_at_their_times() {
    plain().frame("a", 0).frame("b", 120).gives(&["a 0", "ab@0.333 40+40", "ab@0.667 80+40", "b 120"]);
    plain().frame("a", 0).frame("b", 40).gap(80, 40).frame("d", 120).gives(&["a 0", "b 40", "bd@0.500 80+40", "d 120"]);
}

#[test]
fn without_a_rate_what_was_usual_counts_where_something_was_lost() {
    let vfr = || run((0, 1), (0, 1), 200, Wait::Always).frame("a", 0).frame("b", 30);
    vfr().frame("c", 90).gives(&["a 0", "b 30", "c 90"]);
    vfr().lost("c", 90).gives(&["a 0", "b 30", "bc@0.500 60+30", "c 90"]);
    vfr().bad("x", 50, Fault::Corrupted).frame("c", 90).gives(&["a 0", "b 30", "bc@0.333 50+40 for x", "c 90"]);
}

#[test]
fn bad_frames_are_replaced_one_for_one_at_their_own_times() {
    plain().frame("a", 0).bad("x", 41, Fault::Corrupted).frame("c", 80).gives(&["a 0", "ac@0.512 41+40 for x", "c 80"]);
    plain().frame("a", 0).bad("x", 40, Fault::Frozen).bad("y", 80, Fault::Corrupted).frame("d", 120).gives(&[
        "a 0",
        "ad@0.333 40+40 for x",
        "ad@0.667 80+40 for y",
        "d 120",
    ]);
}

#[test]
fn a_bad_frame_beside_missing_ones_keeps_its_place() {
    plain().frame("a", 0).bad("x", 80, Fault::Corrupted).frame("d", 160).gives(&[
        "a 0",
        "ad@0.250 40+40",
        "ad@0.500 80+40 for x",
        "ad@0.750 120+40",
        "d 160",
    ]);
}

#[test]
fn a_long_gap_is_held_and_said() {
    plain().frame("a", 0).frame("b", 240).gives(&[
        "a 0",
        "beyond 0 None",
        "a= 40+40",
        "a= 80+40",
        "a= 120+40",
        "a= 160+40",
        "a= 200+40",
        "b 240",
    ]);
    plain().frame("a", 0).frame("b", 200).drain().out.iter().for_each(|step| assert!(!step.contains('=')));
}

#[test]
fn what_is_known_to_be_too_long_does_not_wait() {
    let bad = |run: Run| (1..=4).fold(run, |run, k| run.bad("x", k * 40, Fault::Corrupted));
    bad(plain().frame("a", 0)).gives(&["a 0"]);
    bad(plain().frame("a", 0)).bad("y", 200, Fault::Corrupted).bad("z", 240, Fault::Corrupted).frame("b", 280).gives(
        &[
            "a 0",
            "beyond 0 Some(Corrupted)",
            "a= 40+40 for x",
            "a= 80+40 for x",
            "a= 120+40 for x",
            "a= 160+40 for x",
            "a= 200+40 for y",
            "a= 240+40 for z",
            "b 280",
        ],
    );
    plain().frame("a", 0).gap(40, 400).frame("b", 440).out.iter().skip(2).take(10).enumerate().for_each(|(k, step)| {
        assert_eq!(*step, format!("a= {}+40", (k + 1) * 40));
    });
}

#[test]
fn an_endless_gap_is_not_filled_to_its_end() {
    let year = 31_536_000_000;
    let out = plain().frame("a", 0).frame("b", year).out;
    assert_eq!(out.len(), 2 + 250 + 1, "10 s are held");
    assert_eq!(out[251..], ["nothing 9960..31536000000".to_string(), "b 31536000000".into()]);
    // And a gap event that says so by and by is held for as long as it goes on.
    let out = (0..400).fold(plain().frame("a", 0), |run, k| run.gap(40 + k * 40, 40)).out;
    assert_eq!(out.len(), 2 + 400 - 4 + 4);
}

#[test]
fn nothing_is_made_across_a_new_beginning() {
    plain().frame("a", 0).bad("x", 40, Fault::Corrupted).drain().frame("b", 80).frame("c", 160).gives(&[
        "a 0",
        "a= 40+40 for x",
        "b 80",
        "bc@0.500 120+40",
        "c 160",
    ]);
    plain().frame("a", 400).frame("b", 0).frame("c", 80).gives(&["a 400", "b 0", "bc@0.500 40+40", "c 80"]);
}

#[test]
fn what_comes_bad_before_anything_good_passes() {
    plain().gap(0, 40).bad("x", 40, Fault::Corrupted).frame("b", 80).gives(&["pass on", "x 40", "b 80"]);
}

#[test]
fn a_gap_at_the_end_is_held() {
    plain().frame("a", 0).gap(40, 80).drain().gives(&["a 0", "a= 40+40", "a= 80+40"]);
}

#[test]
fn twice_the_rate_has_one_between_any_two_and_as_long_a_stream() {
    run((25, 1), (50, 1), 200, Wait::Always).frame("a", 0).frame("b", 40).frame("c", 80).drain().gives(&[
        "a 0+20",
        "ab@0.500 20+20",
        "b 40+20",
        "bc@0.500 60+20",
        "c 80+20",
        "c= 100+20",
    ]);
}

#[test]
fn a_higher_rate_fills_gaps_and_replaces_bad_frames_too() {
    run((25, 1), (50, 1), 200, Wait::Always).frame("a", 0).bad("x", 40, Fault::Corrupted).frame("c", 80).gives(&[
        "a 0+20",
        "ac@0.250 20+20",
        "ac@0.500 40+20 for x",
        "ac@0.750 60+20",
        "c 80+20",
    ]);
}

#[test]
fn slow_streams_are_no_gaps() {
    run((2, 1), (4, 1), 200, Wait::Always).frame("a", 0).frame("b", 500).gives(&[
        "a 0+250",
        "ab@0.500 250+250",
        "b 500+250",
    ]);
}

#[test]
fn a_rate_of_its_own_lies_on_its_grid() {
    run((25, 1), (40, 1), 200, Wait::Always).frame("a", 0).frame("b", 40).frame("c", 80).frame("d", 120).drain().gives(
        &["a 0+25", "ab@0.625 25+25", "bc@0.250 50+25", "bc@0.875 75+25", "cd@0.500 100+25", "d= 125+25", "d= 150+25"],
    );
}

#[test]
fn ahead_of_time_pictures_are_made_from_past_ones_at_once() {
    let zero = || run((25, 1), (25, 1), 200, Wait::Never).frame("a", 0).frame("b", 40);
    zero().bad("x", 80, Fault::Corrupted).gives(&["a 0", "b 40", "ab@2.000 80+40 for x"]);
    zero().gap(80, 40).gap(120, 40).gives(&["a 0", "b 40", "ab@2.000 80+40", "ab@3.000 120+40"]);
    zero().bad("x", 80, Fault::Corrupted).gap(120, 40).gives(&[
        "a 0",
        "b 40",
        "ab@2.000 80+40 for x",
        "ab@3.000 120+40",
    ]);
    // With the first frame alone there is nothing to foretell from.
    run((25, 1), (25, 1), 200, Wait::Never).frame("a", 0).gap(40, 40).gives(&["a 0", "a= 40+40"]);
    // A hole that only the next frame shows: nothing waited for it, so it is used.
    zero().frame("d", 120).gives(&["a 0", "b 40", "bd@0.500 80+40", "d 120"]);
}

#[test]
fn ahead_of_time_a_higher_rate_does_not_wait_either() {
    run((25, 1), (50, 1), 200, Wait::Never).frame("a", 0).frame("b", 40).frame("c", 80).drain().gives(&[
        "a 0+20",
        "a= 20+20",
        "b 40+20",
        "ab@1.500 60+20",
        "c 80+20",
        "bc@1.500 100+20",
    ]);
}

#[test]
fn ahead_of_time_a_long_gap_is_held_too() {
    run((25, 1), (25, 1), 80, Wait::Never).frame("a", 0).frame("b", 40).gap(80, 160).gives(&[
        "a 0",
        "b 40",
        "ab@2.000 80+40",
        "ab@3.000 120+40",
        "beyond 40 None",
        "b= 160+40",
        "b= 200+40",
    ]);
}

#[test]
fn holes_may_stay_where_bad_frames_are_replaced() {
    let mut run = plain();
    run.timeline.set(200 * MS, false);
    run.frame("a", 0).frame("b", 160).bad("x", 200, Fault::Corrupted).frame("d", 320).frame("e", 900).gives(&[
        "a 0",
        "b 160",
        "bd@0.250 200+40 for x",
        "d 320",
        "e 900",
    ]);
}

#[test]
fn a_gap_that_does_not_follow_is_passed_on() {
    plain().frame("a", 0).gap(3880, 3000).frame("b", 40).gives(&["a 0", "pass on", "b 40"]);
    plain().frame("a", 0).bad("x", 40, Fault::Corrupted).gap(80, 40).frame("d", 120).gives(&[
        "a 0",
        "ad@0.333 40+40 for x",
        "ad@0.667 80+40",
        "d 120",
    ]);
}

#[test]
fn times_never_run_back_to_what_was_held_already() {
    let run = plain().frame("a", 0).gap(40, 400).frame("b", 200).frame("c", 440);
    assert_eq!(run.out.last().unwrap(), "c 440");
    assert!(!run.out.contains(&"b 200".to_string()));
}

#[test]
fn events_wait_while_frames_do() {
    let mut run = plain().frame("a", 0);
    assert!(!run.timeline.waits());
    run = run.bad("x", 40, Fault::Corrupted);
    assert!(run.timeline.waits());
    assert!(!run.frame("b", 80).timeline.waits());
}

#[test]
fn one_bad_frame_waits_at_most_and_those_before_it_are_foretold() {
    let live = || run((25, 1), (25, 1), 200, Wait::OneFrame).frame("a", 0).frame("b", 40);
    live().bad("x", 80, Fault::Corrupted).gives(&["a 0", "b 40"]);
    live().bad("x", 80, Fault::Corrupted).bad("y", 120, Fault::Corrupted).frame("d", 160).gives(&[
        "a 0",
        "b 40",
        "ab@2.000 80+40 for x",
        "bd@0.667 120+40 for y",
        "d 160",
    ]);
    // One of them alone has both its neighbours.
    live().bad("x", 80, Fault::Corrupted).frame("c", 120).gives(&["a 0", "b 40", "bc@0.500 80+40 for x", "c 120"]);
    // A GAP event says as much as a bad frame does.
    live().bad("x", 80, Fault::Corrupted).gap(120, 40).frame("d", 160).gives(&[
        "a 0",
        "b 40",
        "ab@2.000 80+40 for x",
        "bd@0.667 120+40",
        "d 160",
    ]);
    live().gap(80, 120).gives(&["a 0", "b 40", "ab@2.000 80+40", "ab@3.000 120+40"]);
    // What did not come at all shows late, but waits no longer for that.
    live().bad("x", 120, Fault::Corrupted).gives(&["a 0", "b 40", "ab@2.000 80+40"]);
}

#[test]
fn a_live_scene_that_stands_still_is_not_moved_on() {
    let live = || run((25, 1), (25, 1), 80, Wait::OneFrame).frame("a", 0).frame("b", 40);
    live().bad("x", 80, Fault::Frozen).bad("y", 120, Fault::Frozen).bad("z", 160, Fault::Frozen).gives(&[
        "a 0",
        "b 40",
        "beyond 40 Some(Frozen)",
        "b= 80+40 for x",
        "b= 120+40 for y",
        "b= 160+40 for z",
    ]);
    run((25, 1), (25, 1), 200, Wait::OneFrame)
        .frame("a", 0)
        .frame("b", 40)
        .bad("x", 80, Fault::Frozen)
        .bad("y", 120, Fault::Frozen)
        .frame("c", 160)
        .gives(&["a 0", "b 40", "b= 80+40 for x", "bc@0.667 120+40 for y", "c 160"]);
}

/// What a live stream was told, one frame of the input, is how late a picture leaves at most, whatever comes bad.
#[test]
fn live_no_picture_leaves_later_than_one_frame() {
    for (input, output) in [((25, 1), (25, 1)), ((25, 1), (50, 1)), ((25, 1), (60, 1)), ((50, 1), (20, 1))] {
        let spacing = 1_000_000_000 * u64::from(input.1) / u64::from(input.0);
        for seed in 0..40u64 {
            let mut run = run(input, output, 200, Wait::OneFrame);
            let (mut state, mut left, mut late) = (seed, Vec::new(), 0);
            for k in 0..200 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let fault = match (state >> 40) % 4 {
                    _ if k < 2 => None,
                    0 | 1 => Some(Fault::Corrupted),
                    2 if seed % 2 == 1 => Some(Fault::Frozen),
                    _ => None,
                };
                let frame = Frame { content: "f", time: k * spacing, duration: Some(spacing) };
                for step in run.timeline.frame(frame, fault, false) {
                    let time = match step {
                        Step::Keep { time, .. } => time,
                        Step::Make { slot, .. } | Step::Hold { slot, .. } => slot.time,
                        Step::Beyond { .. } | Step::Nothing { .. } => continue,
                    };
                    late = late.max((k * spacing).saturating_sub(time));
                    left.push(time);
                }
            }
            assert!(late <= spacing, "{input:?} to {output:?}, seed {seed}: {late} ns late");
            assert!(left.is_sorted_by(|a, b| a < b), "{input:?} to {output:?}, seed {seed}: {left:?}");
            let expected = 198 * u64::from(output.0) / u64::from(input.0);
            assert!(left.len() as u64 >= expected, "{input:?} to {output:?}, seed {seed}: {} left", left.len());
        }
    }
}

#[test]
fn a_bad_frame_of_no_known_rate_has_its_place_ahead_of_time_too() {
    let run = run((0, 1), (0, 1), 200, Wait::Never).frame("a", 0).frame("b", 30);
    run.bad("x", 60, Fault::Corrupted).frame("c", 90).gives(&["a 0", "b 30", "ab@2.000 60+40 for x", "c 90"]);
}
