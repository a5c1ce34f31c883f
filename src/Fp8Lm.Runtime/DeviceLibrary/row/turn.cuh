#pragma once
#include <fp8lm/row/pack.cuh>
#include <fp8lm/row/slabs.cuh>

namespace fp8lm::row {

// A transposed FP8 copy of a block's rows. A word of shared memory has four rows of a column; lines of words have a column each.
template <class Rows, class T, int kNumber> struct Turn
{
    static_assert(kIsFp8<T>, "only FP8 operands need a transposed copy");
    static constexpr int kPitch = Rows::kShape.turn_pitch(), kChunks = Rows::kTileM / 16;

    // Four rows of a lane's columns; column counts from the block's first.
    template <int kWidth> static __device__ __forceinline__ void put(int quad, int column, const Pack<T, kWidth> (&rows)[kBatch])
    {
        u32* const to = words() + quad * kPitch + column;
        if constexpr (kWidth % 4 == 0)
            #pragma unroll
            for (int w = 0; w < kWidth / 4; ++w)
            {
                const u32 low01 = __byte_perm(rows[0].word(w), rows[1].word(w), 0x5140), low23 = __byte_perm(rows[2].word(w), rows[3].word(w), 0x5140);
                const u32 high01 = __byte_perm(rows[0].word(w), rows[1].word(w), 0x7362), high23 = __byte_perm(rows[2].word(w), rows[3].word(w), 0x7362);
                reinterpret_cast<uint4*>(to)[w] = make_uint4(
                    __byte_perm(low01, low23, 0x5410), __byte_perm(low01, low23, 0x7632), __byte_perm(high01, high23, 0x5410), __byte_perm(high01, high23, 0x7632));
            }
        else
            #pragma unroll
            for (int e = 0; e < kWidth; ++e)
                to[e] = rows[0].elements[e].bits | rows[1].elements[e].bits << 8 | rows[2].elements[e].bits << 16 | (u32)rows[3].elements[e].bits << 24;
    }

    // out: [columns, rows]; writes this block's columns and rows. After a barrier. Threads beside each other write 16 bytes each of one column.
    static __device__ void flush(T* out, i64 rows, i64 row_count, i64 columns, int first)
    {
        const i64 top = (i64)blockIdx.x * Rows::kTileM;
        const int count = columns - first < Rows::kTileN ? (int)(columns - first) : Rows::kTileN;
        if (rows % 16 != 0 || row_count % 16 != 0)
        {
            for (int i = threadIdx.x; i < count * Rows::kTileM; i += Rows::kThreads)
            {
                const int column = i / Rows::kTileM, row = i % Rows::kTileM;
                if (top + row < row_count)
                    out[(first + column) * rows + top + row].bits = (u8)(words()[row / 4 * kPitch + column] >> row % 4 * 8);
            }
            return;
        }
        #pragma unroll 4
        for (int i = threadIdx.x; i < count * kChunks; i += Rows::kThreads)
        {
            const int column = i / kChunks, chunk = i % kChunks;
            if (top + chunk * 16 < row_count)
            {
                const u32* const from = words() + chunk * 4 * kPitch + column;
                *reinterpret_cast<uint4*>(out + (first + column) * rows + top + chunk * 16) = make_uint4(from[0], from[kPitch], from[2 * kPitch], from[3 * kPitch]);
            }
        }
    }

private:
    static __device__ u32* words() { return Rows::turn(kNumber); }
};

}  // namespace fp8lm::row
