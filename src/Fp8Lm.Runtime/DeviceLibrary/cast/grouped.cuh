#pragma once
#include <fp8lm/cast/group_scale.cuh>
#include <fp8lm/cast/tile.cuh>
#include <fp8lm/reduce/cast_counter.cuh>

// FP8 casts with a scale per row or block, computed where the cast is made. A cast makes two copies: row-major for products that sum along rows, transposed
// for those that sum over rows, each with its own inverse scales. The same bytes as Cpu/GroupedCasts.cs.
namespace fp8lm::cast {

// What shares a scale: a row (in the transposed copy a column), 128 of one, or 128 rows by 128 columns in both copies.
enum class Groups { Row, Block, Square };

// Largest magnitudes of rows and columns within tiles. row_amax: [column tiles, rows]; column_amax: [row tiles, columns]; f32.
template <class S> struct GroupAmax : Launch<kThreads, kGroup, kGroup>
{
    static __device__ void run(const typename S::Element* x, const float* factor, float* row_amax, float* column_amax)
    {
        __shared__ TileAmax amax;
        const Tile<S> tile(x, factor);
        tile.measure(amax);
        const int i = threadIdx.x % kGroup;
        if (threadIdx.x < kGroup)
        {
            if (tile.first_row + i < S::kRows)
                row_amax[blockIdx.y * S::kRows + tile.first_row + i] = __uint_as_float(amax.rows[i]);
        }
        else if (tile.first_column + i < S::kColumns)
            column_amax[blockIdx.x * S::kColumns + tile.first_column + i] = __uint_as_float(amax.column(i));
    }
};

// y: [rows, columns], y_t: [columns, rows]. Inverse scales: of rows [rows] and [columns]; of blocks [column tiles, rows] and [row tiles, columns]; of squares
// [row tiles, column tiles], the same for both. row_amax, column_amax: of GroupAmax, for rows only. What is null is not written.
// Casts that are counted are those of the row-major copy where there is one.
template <class S, class T, Groups kGroups, bool kPowerOfTwo> struct GroupedCast : Launch<kThreads, kGroup, kGroup>
{
    static __device__ void run(
        const typename S::Element* x, const float* factor, const float* row_amax, const float* column_amax, T* y, T* y_t, float* inverse, float* inverse_t
        FP8LM_COUNTED(, CastStatistics* casts))
    {
        __shared__ TileAmax amax;
        __shared__ float row_scale[kGroup], column_scale[kGroup];
        __shared__ TurnedTile turned;
        const Tile<S> tile(x, factor);
        if constexpr (kGroups != Groups::Row)
            tile.measure(amax);

        // A thread has a row of the tile, or a column.
        const int i = threadIdx.x % kGroup;
        if (threadIdx.x < kGroup)
        {
            const i64 row = tile.first_row + i;
            const bool exists = row < S::kRows;
            const GroupScale scale = group_scale<T, kPowerOfTwo>(
                kGroups == Groups::Row ? exists ? largest<S::kColumnTiles>(row_amax + row, S::kRows) : 0
                : kGroups == Groups::Block ? amax.rows[i] : whole(amax));
            row_scale[i] = scale.scale;
            if (kGroups == Groups::Square)
            {
                if (i == 0 && inverse != nullptr)
                    inverse[blockIdx.x * S::kColumnTiles + blockIdx.y] = scale.inverse;
            }
            else if (exists && inverse != nullptr && (kGroups == Groups::Block || blockIdx.y == 0))
                inverse[(kGroups == Groups::Block ? blockIdx.y * S::kRows : 0) + row] = scale.inverse;
        }
        else
        {
            const int column = tile.first_column + i;
            const bool exists = column < S::kColumns;
            const GroupScale scale = group_scale<T, kPowerOfTwo>(
                kGroups == Groups::Row ? exists ? largest<S::kRowTiles>(column_amax + column, S::kColumns) : 0
                : kGroups == Groups::Block ? amax.column(i) : whole(amax));
            column_scale[i] = scale.scale;
            if (kGroups != Groups::Square && exists && inverse_t != nullptr && (kGroups == Groups::Block || blockIdx.x == 0))
                inverse_t[(kGroups == Groups::Block ? blockIdx.x * S::kColumns : 0) + column] = scale.inverse;
        }
        __syncthreads();

        FP8LM_COUNTED(CastCounter<T> counter;)
        #pragma unroll
        for (int step = 0; step < Tile<S>::kSteps; ++step)
        {
            const int row = tile.row_of(step);
            float values[8];
            tile.values_of(step, values);
            FP8LM_COUNTED(if (tile.inside(step)) count(counter, values, tile.count, y != nullptr ? &row_scale[row] : &column_scale[tile.column], y != nullptr ? 0 : 1);)
            if (y != nullptr && tile.inside(step))
                store_octet<S::kColumns % 8 == 0>(
                    y + (tile.first_row + row) * S::kColumns + tile.first_column + tile.column, pack<T>(values, row_scale[row]), tile.count);
            if (y_t != nullptr)
            {
                #pragma unroll
                for (int c = 0; c < 8; ++c)
                    values[c] *= column_scale[tile.column + c];
                const Octet<T> bytes = pack<T>(values);
                turned.words[TurnedTile::at(row, tile.column / 4)] = bytes.words[0];
                turned.words[TurnedTile::at(row, tile.column / 4 + 1)] = bytes.words[1];
            }
        }
        if (y_t != nullptr)
        {
            __syncthreads();
            turned.template flush<S::kRows, S::kColumns>(reinterpret_cast<u8*>(y_t), tile.first_row, tile.first_column);
        }
        FP8LM_COUNTED(counter.template flush_block<kThreads>(casts, 0.0f);)
    }

private:
    // An octet; its scales stand step apart, 0 for one of all.
    static __device__ void count(CastCounter<T>& counter, const float (&values)[8], int count, const float* scales, int step)
    {
        #pragma unroll
        for (int i = 0; i < 8; ++i)
            if (i < count)
                counter.add_part(values[i], scales[i * step], __fdiv_rn(1.0f, scales[i * step]));
    }

    // Over all tiles along a row or column.
    template <int kTiles> static __device__ u32 largest(const float* amax, i64 pitch)
    {
        u32 result = 0;
        #pragma unroll 8
        for (int tile = 0; tile < kTiles; ++tile)
            result = max(result, __float_as_uint(amax[tile * pitch]));
        return result;
    }

    // Of the whole tile: four rows a lane, then the warp.
    static __device__ u32 whole(const TileAmax& amax)
    {
        u32 result = 0;
        #pragma unroll
        for (int i = 0; i < kGroup / kWarpSize; ++i)
            result = max(result, amax.rows[threadIdx.x % kWarpSize + i * kWarpSize]);
        return warp_max(result);
    }
};

}  // namespace fp8lm::cast
