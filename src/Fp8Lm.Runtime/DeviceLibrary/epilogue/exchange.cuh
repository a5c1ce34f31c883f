#pragma once
#include <fp8lm/common/common.cuh>

// Exchanges between the lanes of a warp that hold an mma fragment: lane 4r + t has row r (and r + 8) and columns 2t, 2t + 1 of every eight.
namespace fp8lm::epilogue {

// The lane, read anew: what an epilogue derives from it takes no registers while the tensor cores work.
__device__ __forceinline__ u32 fresh_lane()
{
    u32 lane;
    asm volatile("mov.u32 %0, %%laneid;" : "=r"(lane));
    return lane;
}

// Before: v[2j], v[2j + 1] are columns 8j + 2t, 8j + 2t + 1 of 32. After: v[i] is column 8t + i. Four lanes of a row trade in two rounds.
__device__ __forceinline__ void gather_columns(float (&v)[8], u32 lane)
{
    const bool odd = lane & 1, high = lane & 2;
    #pragma unroll
    for (int i = 0; i < 4; ++i)
    {
        const int even_block = 4 * (i / 2) + i % 2, odd_block = even_block + 2;
        const float received = __shfl_xor_sync(kAllLanes, odd ? v[even_block] : v[odd_block], 1);
        v[even_block] = odd ? received : v[even_block];
        v[odd_block] = odd ? v[odd_block] : received;
    }
    #pragma unroll
    for (int i = 0; i < 4; ++i)
    {
        const float received = __shfl_xor_sync(kAllLanes, high ? v[i] : v[i + 4], 2);
        v[i] = high ? received : v[i];
        v[i + 4] = high ? v[i + 4] : received;
    }
}

// Sums v over the eight lanes r of a fragment; lane 4r + t gets the sum of v[r]. The order of the additions is fixed.
__device__ __forceinline__ float sum_rows(float (&v)[8], u32 lane)
{
    #pragma unroll
    for (int count = 4, distance = 16; count > 0; count /= 2, distance /= 2)
    {
        const bool upper = lane & distance;
        #pragma unroll
        for (int i = 0; i < count; ++i)
        {
            const float received = __shfl_xor_sync(kAllLanes, upper ? v[i] : v[i + count], distance);
            v[i] = (upper ? v[i + count] : v[i]) + received;
        }
    }
    return v[0];
}

// Turns bytes: lane 4r + t has column c of row r in byte c of the two words; it gets column r of rows 0 .. 7 in the order of the rows.
struct ByteTurn
{
    u32 lane;
    u32 low, high;    // selectors that put the rows in order

    __device__ explicit ByteTurn(u32 of_lane)
        : lane(of_lane), low(0), high(0)
    {
        const u32 r = lane / 4;
        #pragma unroll
        for (int row = 0; row < 4; ++row)
        {
            low |= place(row ^ r) << 4 * row;
            high |= place((row + 4) ^ r) << 4 * row;
        }
    }

    // Where the three rounds leave the row that differs from the lane's in the bits d.
    static __device__ u32 place(u32 d) { return (d & 1) * 4 + (d >> 2 & 1) + (d & 2); }

    __device__ uint2 turn(uint2 columns) const
    {
        const bool bit0 = lane & 4, bit1 = lane & 8, bit2 = lane & 16;
        const u32 kept = bit2 ? columns.y : columns.x;
        const u32 received = __shfl_xor_sync(kAllLanes, bit2 ? columns.x : columns.y, 16);
        const u32 first_pair = __byte_perm(kept, received, 0x5410), second_pair = __byte_perm(kept, received, 0x7632);
        const u32 kept_pair = bit1 ? second_pair : first_pair;
        const u32 received_pair = __shfl_xor_sync(kAllLanes, bit1 ? first_pair : second_pair, 8);
        const u32 even = __byte_perm(kept_pair, received_pair, 0x6420), odd = __byte_perm(kept_pair, received_pair, 0x7531);
        const u32 own = bit0 ? odd : even;
        const u32 other = __shfl_xor_sync(kAllLanes, bit0 ? even : odd, 4);
        return make_uint2(__byte_perm(own, other, low), __byte_perm(own, other, high));
    }
};

}  // namespace fp8lm::epilogue
