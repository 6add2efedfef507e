//! What neighbours ask.

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::TorchFilter;
use super::{pool, scale};
use crate::video;

impl TorchFilter {
    pub(super) fn sink_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        // What a serialised query asks about has to have arrived downstream.
        if query.is_serialized() && self.queue.wait_until_empty().is_err() {
            return false;
        }
        if let Some(answered) = self.scaled_query(pad, query) {
            return answered;
        }
        gst::Pad::query_default(pad, Some(&*self.obj()), query)
    }

    pub(super) fn src_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> bool {
        if let gst::QueryViewMut::Latency(latency) = query.view_mut() {
            let mut upstream = gst::query::Latency::new();
            if !self.sinkpad.peer_query(&mut upstream) {
                return false;
            }
            let (live, min, max) = upstream.result();
            let own = if live { self.latency() } else { gst::ClockTime::ZERO };
            latency.set(live, min + own, max.map(|max| max + own));
            return true;
        }
        if let Some(answered) = self.scaled_query(pad, query) {
            return answered;
        }
        gst::Pad::query_default(pad, Some(&*self.obj()), query)
    }

    /// Where frames leave larger than they come, what one side asks about sizes is not what the other is asked.
    fn scaled_query(&self, pad: &gst::Pad, query: &mut gst::QueryRef) -> Option<bool> {
        let scale = self.known_scale();
        if scale == Some(1) {
            return None;
        }
        match query.view_mut() {
            gst::QueryViewMut::Caps(query) => {
                let caps = self.scaled_caps(pad, query.filter_owned().as_ref(), scale);
                query.set_result(&caps);
                Some(true)
            }
            gst::QueryViewMut::AcceptCaps(query) => {
                let caps = query.caps_owned();
                let accepted = if let Some(scale) = scale.filter(|_| *pad == self.sinkpad) {
                    let info = gst_video::VideoInfo::from_caps(&caps);
                    caps.is_subset(&video::caps())
                        && info.is_ok_and(|info| {
                            self.srcpad.peer_query_accept_caps(&scale::output_caps(&caps, &info, scale))
                        })
                } else {
                    caps.is_subset(&self.scaled_caps(pad, None, scale))
                };
                query.set_result(accepted);
                Some(true)
            }
            gst::QueryViewMut::Allocation(query) if *pad == self.sinkpad => Some(pool::propose_allocation(query)),
            _ => None,
        }
    }

    /// What a pad can have, by what the neighbour at the other one can: of any size, as long as no scale is known.
    fn scaled_caps(&self, pad: &gst::Pad, filter: Option<&gst::Caps>, scale: Option<usize>) -> gst::Caps {
        let map = |caps: &gst::CapsRef, downstream: bool| match scale {
            None => scale::of_any_size(caps),
            Some(scale) if downstream => scale::enlarged(caps, scale),
            Some(scale) => scale::reduced(caps, scale),
        };
        let is_sink = *pad == self.sinkpad;
        let other = if is_sink { &self.srcpad } else { &self.sinkpad };
        let template = video::caps();
        let asked = filter.map(|filter| map(filter, is_sink));
        let neighbour = other.peer_query_caps(asked.as_ref()).intersect(&template);
        let caps = map(&neighbour, !is_sink).intersect(&template);
        match filter {
            Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
            None => caps,
        }
    }
}
