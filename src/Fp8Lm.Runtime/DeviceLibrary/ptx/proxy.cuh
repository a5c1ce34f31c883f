#pragma once

namespace fp8lm::ptx {

// Orders what this thread has written to (or seen written to) shared memory before what wgmma and the copy engine read from there.
__device__ inline void fence_proxy_async() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

}  // namespace fp8lm::ptx
