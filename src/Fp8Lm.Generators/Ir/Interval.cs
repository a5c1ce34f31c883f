using System;
using System.Collections.Generic;
using System.Linq;

namespace Fp8Lm.Generators.Ir;

/// <summary>Numbers from Low to High, both included; what nothing is known of is <see cref="All"/>.</summary>
internal readonly record struct Interval(double Low, double High)
{
    public static readonly Interval All = new(double.NegativeInfinity, double.PositiveInfinity);

    public Interval Join(Interval other) => new(Math.Min(Low, other.Low), Math.Max(High, other.High));

    /// <summary>Values of an element-wise op on intervals; <see cref="All"/> where it has no rule here.</summary>
    /// <param name="node">The op.</param>
    /// <param name="x">Its operands.</param>
    /// <param name="same">Whether both operands are one value: a square is not negative.</param>
    public static Interval Of(Node node, IReadOnlyList<Interval> x, bool same)
    {
        Interval result = node.Op switch
        {
            OpCode.Exp or OpCode.Tanh or OpCode.Sigmoid or OpCode.Floor => Rising(node.Op, x[0]),
            OpCode.Log or OpCode.Sqrt when x[0].Low >= 0 => Rising(node.Op, x[0]),
            OpCode.Rsqrt when x[0].Low > 0 => new(1 / Math.Sqrt(x[0].High), 1 / Math.Sqrt(x[0].Low)),
            OpCode.Erf => new(Math.Max(-1, Erf(x[0].Low) - ErfError), Math.Min(1, Erf(x[0].High) + ErfError)),
            OpCode.Sin or OpCode.Cos => new(-1, 1),
            OpCode.Neg => new(-x[0].High, -x[0].Low),
            OpCode.Abs => Magnitude(x[0]),
            OpCode.Pow when node.Data.Number == 2 => Square(x[0]),
            OpCode.Add => new(x[0].Low + x[1].Low, x[0].High + x[1].High),
            OpCode.Sub => same ? new(0, 0) : new(x[0].Low - x[1].High, x[0].High - x[1].Low),
            OpCode.Mul => same ? Square(x[0]) : Product(x[0], x[1]),
            OpCode.Div when x[1].Low > 0 || x[1].High < 0 => Product(x[0], new(1 / x[1].High, 1 / x[1].Low)),
            OpCode.Min => new(Math.Min(x[0].Low, x[1].Low), Math.Min(x[0].High, x[1].High)),
            OpCode.Max => new(Math.Max(x[0].Low, x[1].Low), Math.Max(x[0].High, x[1].High)),
            OpCode.Less => Truth(x[0].High < x[1].Low, x[0].Low >= x[1].High),
            OpCode.LessEqual => Truth(x[0].High <= x[1].Low, x[0].Low > x[1].High),
            OpCode.Equal => Truth(false, x[0].High < x[1].Low || x[0].Low > x[1].High),
            OpCode.Select => x[0].Low > 0 ? x[1] : x[0].High < 1 ? x[2] : x[1].Join(x[2]),
            _ => All,
        };
        // 0 times infinity and its like: nothing is known.
        return double.IsNaN(result.Low) || double.IsNaN(result.High) ? All : result;
    }

    private static Interval Rising(OpCode op, Interval x)
    {
        Func<double[], double> f = OpTable.Of(op).Fold!;
        return new(f([x.Low]), f([x.High]));
    }

    private static Interval Truth(bool always, bool never) => new(always ? 1 : 0, never ? 0 : 1);

    private static Interval Magnitude(Interval x) =>
        new(x.Low > 0 ? x.Low : x.High < 0 ? -x.High : 0, Math.Max(Math.Abs(x.Low), Math.Abs(x.High)));

    private static Interval Square(Interval x)
    {
        Interval magnitude = Magnitude(x);
        return new(magnitude.Low * magnitude.Low, magnitude.High * magnitude.High);
    }

    private static Interval Product(Interval a, Interval b)
    {
        double[] corners = [a.Low * b.Low, a.Low * b.High, a.High * b.Low, a.High * b.High];
        return corners.Any(double.IsNaN) ? All : new(corners.Min(), corners.Max());
    }

    private const double ErfError = 2e-7;

    /// <summary>Abramowitz and Stegun 7.1.26, which is off by 1.5e-7 at most.</summary>
    private static double Erf(double x)
    {
        double t = 1 / (1 + (0.3275911 * Math.Abs(x)));
        double tail = t * (0.254829592 + (t * (-0.284496736 + (t * (1.421413741 + (t * (-1.453152027 + (t * 1.061405429))))))));
        return Math.Sign(x) * (1 - (tail * Math.Exp(-x * x)));
    }
}
