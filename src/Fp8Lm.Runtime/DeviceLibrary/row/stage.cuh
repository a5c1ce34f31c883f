#pragma once
#include <fp8lm/row/frame.cuh>
#include <fp8lm/row/pack.cuh>

// What crosses the 16 rows of a block: every warp puts its row's pack of a step, a barrier, then all threads flush the step's columns. The next
// step uses the other set of stages.
namespace fp8lm::row {

template <int kWidth> constexpr int kStageColumns = kWarpSize * kWidth;

// Columns of an FP8 matrix, turned: 16 rows of a column become 16 adjacent bytes of the transposed copy.
template <class T, int kWidth> struct TransposeStage
{
    static_assert(kIsFp8<T>, "only FP8 operands need a transposed copy");
    static constexpr int kColumns = kStageColumns<kWidth>;

    alignas(16) T bytes[kSlabRows][kColumns];

    __device__ void put(int lane, int row, const Floats<kWidth>& values) { row::put<kWidth>(&bytes[row][lane * kWidth], narrow<T>(values)); }

    // out: [columns, rows]; writes columns first .. first + kColumns of a slab. After a barrier.
    __device__ void flush(T* out, i64 rows, i64 columns, int slab, int first) const
    {
        if (kWidth < 4 || rows % kSlabRows != 0)
        {
            flush_bytes(out, rows, columns, slab, first);
            return;
        }
        // A thread turns 4 rows of 4 columns; four neighbours write the 16 bytes of a column together.
        for (int block = threadIdx.x; block < kColumns; block += kThreads)
        {
            const int column = block / 4 * 4, row = block % 4 * 4;
            if (first + column >= columns)
                return;
            const u32 r0 = word(row, column), r1 = word(row + 1, column), r2 = word(row + 2, column), r3 = word(row + 3, column);
            const u32 low01 = __byte_perm(r0, r1, 0x5140), low23 = __byte_perm(r2, r3, 0x5140);
            const u32 high01 = __byte_perm(r0, r1, 0x7362), high23 = __byte_perm(r2, r3, 0x7362);
            T* const to = out + (first + column) * rows + (i64)slab * kSlabRows + row;
            *reinterpret_cast<u32*>(to) = __byte_perm(low01, low23, 0x5410);
            *reinterpret_cast<u32*>(to + rows) = __byte_perm(low01, low23, 0x7632);
            *reinterpret_cast<u32*>(to + 2 * rows) = __byte_perm(high01, high23, 0x5410);
            *reinterpret_cast<u32*>(to + 3 * rows) = __byte_perm(high01, high23, 0x7632);
        }
    }

private:
    __device__ u32 word(int row, int column) const { return *reinterpret_cast<const u32*>(&bytes[row][column]); }

    __device__ void flush_bytes(T* out, i64 rows, i64 columns, int slab, int first) const
    {
        const i64 row = (i64)slab * kSlabRows;
        for (int column = threadIdx.x; column < kColumns && first + column < columns; column += kThreads)
            for (int i = 0; i < kSlabRows && row + i < rows; ++i)
                out[(first + column) * rows + row + i] = bytes[i][column];
    }
};

// Column sums of a slab, rows added in order.
template <int kWidth> struct SumStage
{
    static constexpr int kColumns = kStageColumns<kWidth>;

    alignas(16) float values[kSlabRows][kColumns];

    __device__ void put(int lane, int row, const Floats<kWidth>& sums) { row::store<kWidth>(&values[row][lane * kWidth], sums); }

    // partial: [ceil(rows/16), pitch], of which columns are this kernel's. After a barrier.
    __device__ void flush(float* partial, i64 pitch, i64 columns, int slab, int first) const
    {
        for (int column = threadIdx.x; column < kColumns && first + column < columns; column += kThreads)
        {
            float sum = 0.0f;
            #pragma unroll
            for (int row = 0; row < kSlabRows; ++row)
                sum += values[row][column];
            partial[slab * pitch + first + column] = sum;
        }
    }
};

}  // namespace fp8lm::row
