#pragma once
#include <fp8lm/common/common.cuh>

namespace fp8lm::optim {

// One parameter instance in the arenas of the optimizer; the same layout as Fp8Lm.Execution.StateSegment. Places are bytes from the start of
// each arena; elements count the zeros up to the next multiple of 64, so that octets are always whole, and the upper half of flags says how many those are.
struct Segment
{
    static constexpr u32 kDecays = 1, kLinear = 2;

    i64 master;
    i64 gradient;
    i64 first;
    i64 second;
    i64 first_tile;
    i64 elements;
    int weight_slot;
    u32 flags;
    i64 first_group;

    // Elements of the parameter itself, of those from begin.
    __device__ __forceinline__ i64 own(i64 begin) const { return elements - (flags >> 16) - begin; }
};

constexpr int kSegmentTile = 2048, kLongestRun = 8;

// Rows of the tables of scales, reciprocals and amax: [4, segments].
enum StateRow { kGradientRow, kMasterRow, kFirstRow, kSecondRow };

// The segment that a tile lies in.
__device__ inline int find_segment(const Segment* segments, i64 count, i64 tile)
{
    int low = 0, high = (int)count - 1;
    while (low < high)
    {
        const int middle = (low + high + 1) / 2;
        if (segments[middle].first_tile <= tile)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

// Calls part(index, segment, begin, elements) for stretches of segments, a block for its share of all tiles: whole runs of adjacent tiles, cut where a segment
// ends, so that a segment is looked up once a run. Between runs lie those of all other blocks, so that the blocks are near each other in memory. begin and
// elements are multiples of 64.
template <class Part> __device__ __forceinline__ void for_each_stretch(const Segment* segments, i64 count, i64 tiles, Part part)
{
    // All blocks take equally many runs, none longer than kLongestRun. Tiles are counted in 32 bits: 2^31 of them are more than 10^12 parameters.
    const int all = (int)tiles, blocks = (int)gridDim.x, rounds = all > 0 ? ceil_div(all, blocks * kLongestRun) : 1, length = ceil_div(all, blocks * rounds);
    for (int run = (int)blockIdx.x; run * length < all; run += blocks)
    {
        int tile = run * length;
        const int end = min(tile + length, all);
        for (int index = find_segment(segments, count, tile); tile < end; ++index)
        {
            const Segment& segment = segments[index];
            const int stop = index + 1 < count ? min((int)segments[index + 1].first_tile, end) : end;
            const i64 begin = (tile - segment.first_tile) * kSegmentTile, whole = (i64)(stop - tile) * kSegmentTile, rest = segment.elements - begin;
            part(index, segment, begin, (int)(whole < rest ? whole : rest));
            tile = stop;
        }
    }
}

template <class T> __device__ T* at(void* arena, i64 bytes) { return reinterpret_cast<T*>(static_cast<u8*>(arena) + bytes); }
template <class T> __device__ const T* at(const void* arena, i64 bytes) { return reinterpret_cast<const T*>(static_cast<const u8*>(arena) + bytes); }

}  // namespace fp8lm::optim
