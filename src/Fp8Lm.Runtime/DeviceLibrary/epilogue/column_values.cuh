#pragma once
#include <fp8lm/common/common.cuh>
#include <fp8lm/ptx/shared.cuh>

// Where an epilogue finds what it needs of columns for all rows, a bias for example.
namespace fp8lm::epilogue {

// In memory, at every step.
struct DirectColumns
{
    template <class E> __device__ typename E::Columns read(const E& e, int, int, int col) const { return e.read_columns(col); }
};

// In shared memory, where each warp has put what a tile needs before its products begin: in L1 it does not stay, and L2 answers later than a step lasts.
struct KeptColumns
{
    template <class E, int kColumns> static constexpr int kBytes = kColumns / 8 * (int)sizeof(typename E::Columns);    // of a warp

    u32 buffer;

    template <int kColumns, class E> __device__ void fill(const E& e, int col0, int col_end) const
    {
        using Columns = typename E::Columns;
        __syncwarp();
        #pragma unroll
        for (int octet = threadIdx.x % kWarpSize; octet < kColumns / 8; octet += kWarpSize)
            if (col0 + 8 * octet < col_end)
            {
                const Columns columns = e.read_columns(col0 + 8 * octet);
                uint4 vectors[sizeof(Columns) / 16];
                memcpy(vectors, &columns, sizeof(Columns));
                #pragma unroll
                for (int i = 0; i < (int)sizeof(Columns) / 16; ++i)
                    ptx::shared_store(buffer + octet * (int)sizeof(Columns) + 16 * i, vectors[i]);
            }
        __syncwarp();
    }

    template <class E> __device__ typename E::Columns read(const E&, int step, int lane, int) const
    {
        using Columns = typename E::Columns;
        uint4 vectors[sizeof(Columns) / 16];
        #pragma unroll
        for (int i = 0; i < (int)sizeof(Columns) / 16; ++i)
            vectors[i] = ptx::shared_load(buffer + (4 * step + lane % 4) * (int)sizeof(Columns) + 16 * i);
        Columns columns;
        memcpy(&columns, vectors, sizeof(Columns));
        return columns;
    }
};

}  // namespace fp8lm::epilogue
