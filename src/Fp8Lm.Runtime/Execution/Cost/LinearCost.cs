using System;
using System.Collections.Generic;
using System.Linq;

namespace Fp8Lm.Execution.Cost;

/// <summary>
/// Predicted microseconds of one layer's linear in a micro-batch and optimizer step, forward and backward, in FP8 and in BF16. FP8 includes
/// casts of input, weight and output gradient, each shared by the linears that read it; epilogues are those of a program without FP8.
/// </summary>
/// <param name="Linear">The linear.</param>
/// <param name="Fp8">All products and casts in FP8.</param>
/// <param name="Casts">The part of <paramref name="Fp8"/> that is casts.</param>
/// <param name="Bf16">The products in BF16.</param>
/// <param name="Layers">Layers that have such a linear.</param>
internal sealed record LinearCost(LinearInfo Linear, double Fp8, double Casts, double Bf16, long Layers)
{
    /// <summary>Whether the program runs it in FP8 although BF16 is predicted to be faster.</summary>
    public bool Loses => Linear.Fp8 && Fp8 > Bf16;

    /// <summary>The linears of a program; none where the recipe has no FP8.</summary>
    /// <param name="program">The program.</param>
    /// <param name="dims">Sizes.</param>
    /// <param name="adds">Whether weight gradients are read and added to, as from the second micro-batch of a step on. The first can assign, and reading hides
    /// more of what BF16 takes, so that comparison is the stricter one.</param>
    /// <param name="splits">Whether blocks may share K of a tile, as kernels do.</param>
    public static IReadOnlyList<LinearCost> Of(ModelProgram program, DimBinding dims, bool adds = false, bool splits = true) =>
        [.. program.Linears.Select(l => Of(program, l, dims, adds, splits))];

    private static LinearCost Of(ModelProgram program, LinearInfo linear, DimBinding dims, bool adds, bool splits)
    {
        double fp8 = 0, bf16 = 0, casts = 0;
        HashSet<int> cast = [];
        foreach (LinearProduct product in linear.Products)
        {
            var gemm = (GemmGeometry)program.Kernels[product.Kernel].Geometry;
            (long m, long n, long k) = (gemm.M(dims), gemm.N(dims), gemm.K(dims));
            EpilogueWork epilogue = product.Epilogue.WithoutFp8;
            epilogue = product.Role == GemmRole.Wgrad && !adds ? epilogue with { LoadBytes = 0 } : epilogue;
            fp8 += HopperCost.Product(m, n, k, fp8: true, product.Promotes, epilogue, splits);
            bf16 += HopperCost.Product(m, n, k, fp8: false, promotes: false, epilogue, splits);
            foreach ((int scale, bool weight, long elements, long columns) in Operands(product, m, n, k))
            {
                // A linear that is kept has no scales; its casts are counted as they would be without sharing.
                if (scale < 0 || cast.Add(scale))
                {
                    casts += weight ? HopperCost.WeightCast(elements) : HopperCost.Cast(elements, columns, program.Scaling?.Delayed ?? true) / Readers(program, scale);
                }
            }
        }

        return new LinearCost(linear, fp8 + casts, casts, bf16, linear.Layers(dims));
    }

    /// <summary>What a product reads that a cast writes. Without scales, operands are told apart by role: wgrad reads what fprop and dgrad did.</summary>
    private static IEnumerable<(int Scale, bool Weight, long Elements, long Columns)> Operands(LinearProduct product, long m, long n, long k)
    {
        bool known = product.ScaleA >= 0;
        switch (product.Role)
        {
            case GemmRole.Fprop:
                yield return (product.ScaleA, false, m * k, k);
                yield return (product.ScaleB, true, n * k, k);
                break;
            case GemmRole.Dgrad:
                yield return (product.ScaleA, false, m * k, k);
                if (known)
                {
                    yield return (product.ScaleB, true, n * k, k);
                }

                break;
            default:
                if (known)
                {
                    yield return (product.ScaleA, false, m * k, m);
                    yield return (product.ScaleB, false, n * k, n);
                }

                break;
        }
    }

    private static int Readers(ModelProgram program, int scale) =>
        scale < 0 ? 1 : Math.Max(1, program.Linears.Count(l => l.Products.Any(p => p.ScaleA == scale || p.ScaleB == scale)));
}
