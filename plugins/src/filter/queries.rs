//! What neighbours ask.

use std::sync::atomic::Ordering;

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
        let scale = self.scale.load(Ordering::SeqCst);
        if scale == 1 {
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
                let accepted = if *pad == self.sinkpad {
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

    /// What a pad can have, by what the neighbour at the other one can.
    fn scaled_caps(&self, pad: &gst::Pad, filter: Option<&gst::Caps>, scale: usize) -> gst::Caps {
        type Map = fn(&gst::CapsRef, usize) -> gst::Caps;
        let (there, back, other): (Map, Map, _) = if *pad == self.sinkpad {
            (scale::enlarged, scale::reduced, &self.srcpad)
        } else {
            (scale::reduced, scale::enlarged, &self.sinkpad)
        };
        let template = video::caps();
        let asked = filter.map(|filter| there(filter, scale));
        let neighbour = other.peer_query_caps(asked.as_ref()).intersect(&template);
        let caps = back(&neighbour, scale).intersect(&template);
        match filter {
            Some(filter) => filter.intersect_with_mode(&caps, gst::CapsIntersectMode::First),
            None => caps,
        }
    }
}
