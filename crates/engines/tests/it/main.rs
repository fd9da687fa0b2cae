//! The engines as callers meet them: through routing, authorization, audit and dispatch, over the real barrier.

#[cfg(test)]
mod cubbyhole;
#[cfg(test)]
mod kv1;
#[cfg(test)]
mod kv2_concurrency;
#[cfg(test)]
mod kv2_data;
#[cfg(test)]
mod kv2_faults;
#[cfg(test)]
mod kv2_history;
#[cfg(test)]
mod kv2_metadata;
#[cfg(test)]
mod kv2_upgrade;
#[cfg(test)]
mod rig;
