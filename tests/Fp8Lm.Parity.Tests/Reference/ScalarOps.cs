using System;
using Fp8Lm.Generators.Ir;

namespace Fp8Lm.Parity.Tests.Reference;

/// <summary>Element-wise ops on numbers, written here a second time: the table of the compiler is what is tested.</summary>
internal static class ScalarOps
{
    public static Func<double[], double> Of(OpCode op, double number) => op switch
    {
        OpCode.Neg => a => -a[0],
        OpCode.Abs => a => Math.Abs(a[0]),
        OpCode.Exp => a => Math.Exp(a[0]),
        OpCode.Log => a => Math.Log(a[0]),
        OpCode.Sqrt => a => Math.Sqrt(a[0]),
        OpCode.Rsqrt => a => 1 / Math.Sqrt(a[0]),
        OpCode.Tanh => a => Math.Tanh(a[0]),
        OpCode.Sigmoid => a => 1 / (1 + Math.Exp(-a[0])),
        OpCode.Erf => a => Erf(a[0]),
        OpCode.Sin => a => Math.Sin(a[0]),
        OpCode.Cos => a => Math.Cos(a[0]),
        OpCode.Floor => a => Math.Floor(a[0]),
        OpCode.Pow => a => Math.Pow(a[0], number),
        OpCode.Add => a => a[0] + a[1],
        OpCode.Sub => a => a[0] - a[1],
        OpCode.Mul => a => a[0] * a[1],
        OpCode.Div => a => a[0] / a[1],
        OpCode.Min => a => Math.Min(a[0], a[1]),
        OpCode.Max => a => Math.Max(a[0], a[1]),
        OpCode.Less => a => a[0] < a[1] ? 1 : 0,
        OpCode.LessEqual => a => a[0] <= a[1] ? 1 : 0,
        OpCode.Equal => a => a[0] == a[1] ? 1 : 0,
        OpCode.Select => a => a[0] != 0 ? a[1] : a[2],
        _ => throw new NotSupportedException($"the reference has no {op}"),
    };

    /// <summary>Maclaurin series up to 3, a continued fraction beyond: both to about 1e-15.</summary>
    public static double Erf(double x)
    {
        double z = Math.Abs(x);
        if (z > 6)
        {
            return Math.Sign(x);
        }

        if (z < 3)
        {
            double term = z, sum = z;
            for (int n = 1; Math.Abs(term) > 1e-18; n++)
            {
                term *= -z * z / n;
                sum += term / ((2 * n) + 1);
            }

            return Math.Sign(x) * 2 / Math.Sqrt(Math.PI) * sum;
        }

        double fraction = z;
        for (int k = 60; k > 0; k--)
        {
            fraction = z + (k / 2.0 / fraction);
        }

        return Math.Sign(x) * (1 - (Math.Exp(-z * z) / Math.Sqrt(Math.PI) / fraction));
    }
}
