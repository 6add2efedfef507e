//! Buffers for frames that leave larger than they come: allocation as negotiated with both neighbours.

use gst::glib;
use gst::prelude::*;

/// Buffers for what leaves: from downstream's pool where it offers one, else from one of our own.
#[derive(Debug, Default)]
pub struct Pool {
    current: Option<(gst::Caps, gst::BufferPool)>,
}

impl Pool {
    /// A buffer for `caps`. Asks downstream when the caps are others than before, or `renegotiate` says so.
    pub fn buffer(
        &mut self,
        pad: &gst::Pad,
        caps: &gst::Caps,
        info: &gst_video::VideoInfo,
        renegotiate: bool,
    ) -> Result<gst::Buffer, gst::FlowError> {
        if renegotiate || self.current.as_ref().is_none_or(|(of, _)| of != caps) {
            self.stop();
            let pool = negotiate(pad, caps, info).map_err(|_| gst::FlowError::NotNegotiated)?;
            self.current = Some((caps.clone(), pool));
        }
        let (_, pool) = self.current.as_ref().ok_or(gst::FlowError::NotNegotiated)?;
        pool.acquire_buffer(None)
    }

    pub fn stop(&mut self) {
        if let Some((_, pool)) = self.current.take() {
            let _ = pool.set_active(false);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

fn negotiate(
    pad: &gst::Pad,
    caps: &gst::Caps,
    info: &gst_video::VideoInfo,
) -> Result<gst::BufferPool, glib::BoolError> {
    let mut query = gst::query::Allocation::new(Some(caps), true);
    let answered = pad.peer_query(&mut query);
    let strides = answered && query.find_allocation_meta::<gst_video::VideoMeta>().is_some();
    let (allocator, params) = query.allocation_params().next().map_or((None, None), |(a, p)| (a, Some(p)));
    let offers: Vec<_> = query.allocation_pools().collect();
    for (offered, size, least, most) in offers.into_iter().filter(|_| answered) {
        let Some(pool) = offered else { continue };
        let mut config = pool.config();
        config.set_params(Some(caps), size.max(info.size() as u32), least, most);
        if strides {
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
        }
        if pool.set_config(config).is_ok() && pool.set_active(true).is_ok() {
            return Ok(pool);
        }
    }
    let pool = own_pool(caps, info, |config| {
        if allocator.is_some() || params.is_some() {
            config.set_allocator(allocator.as_ref(), params.as_ref());
        }
        if strides {
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
        }
    })?;
    pool.set_active(true)?;
    Ok(pool)
}

fn own_pool(
    caps: &gst::Caps,
    info: &gst_video::VideoInfo,
    complete: impl FnOnce(&mut gst::BufferPoolConfigRef),
) -> Result<gst::BufferPool, glib::BoolError> {
    let pool = gst_video::VideoBufferPool::new().upcast::<gst::BufferPool>();
    let mut config = pool.config();
    config.set_params(Some(caps), info.size() as u32, 0, 0);
    complete(&mut config);
    pool.set_config(config)?;
    Ok(pool)
}

/// Answers upstream, whose frames go no further than here: any strides are read, and a pool is there if it wants one.
pub fn propose_allocation(query: &mut gst::query::Allocation) -> bool {
    let (Some(caps), need_pool) = query.get_owned() else { return false };
    let Ok(info) = gst_video::VideoInfo::from_caps(&caps) else { return false };
    if need_pool {
        let strides = |config: &mut gst::BufferPoolConfigRef| {
            config.add_option(gst_video::BUFFER_POOL_OPTION_VIDEO_META);
        };
        let pool = own_pool(&caps, &info, strides).ok();
        query.add_allocation_pool(pool.as_ref(), info.size() as u32, 0, 0);
    }
    query.add_allocation_meta::<gst_video::VideoMeta>(None);
    true
}
