namespace Fp8Lm.Cpu;

/// <summary>
/// What happens to a finished block of a product: scaling, bias, activation, casts, stores. Each worker applies its own copy of the
/// struct, so results belong in memory that it points to and never in its fields.
/// </summary>
public unsafe interface ITileEpilogue
{
    /// <summary>Takes rows [row, row + rows) x columns [col, col + cols) of the product.</summary>
    /// <param name="row">First row; a multiple of 16 (for attention where the sequence length is one).</param>
    /// <param name="rows">Rows: 16, or what is left of the product (for attention: of the sequence).</param>
    /// <param name="col">First column; a multiple of 16 for a GEMM, the start of a head for attention.</param>
    /// <param name="cols">Columns; never more than the product has.</param>
    /// <param name="acc">The sums, 64-byte aligned; the epilogue may overwrite them. Lanes from <paramref name="cols"/> up to <paramref name="ld"/> may be read and hold anything.</param>
    /// <param name="ld">Floats from one row of <paramref name="acc"/> to the next; a multiple of 16.</param>
    void Apply(int row, int rows, int col, int cols, float* acc, int ld);
}
