using System;
using System.Runtime.Intrinsics;
using Fp8Lm.Cpu;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

public class VectorMathTests
{
    private const int Samples = 400_000;

    /// <summary>A function beside its reference in F64, its range, and the relative error it promises.</summary>
    public sealed record Function(string Name, Func<Vector256<float>, Vector256<float>> Vector, Func<float, float> Scalar, Func<double, double> Reference, float Low, float High, double Tolerance)
    {
        public override string ToString() => $"{Name} on [{Low}, {High}]";
    }

    public static TheoryData<Function> Functions =>
    [
        new Function("exp", VectorMath.Exp, VectorMath.Exp, Math.Exp, -87f, 88.7f, 1.3e-7),
        new Function("log", VectorMath.Log, VectorMath.Log, Math.Log, 1e-6f, 1e6f, 1.3e-7),
        new Function("log", VectorMath.Log, VectorMath.Log, Math.Log, 0.5f, 2f, 1.3e-7),
        new Function("tanh", VectorMath.Tanh, VectorMath.Tanh, Math.Tanh, -10f, 10f, 2e-7),
        new Function("tanh", VectorMath.Tanh, VectorMath.Tanh, Math.Tanh, -0.01f, 0.01f, 1.3e-7),
        new Function("sigmoid", VectorMath.Sigmoid, VectorMath.Sigmoid, x => 1 / (1 + Math.Exp(-x)), -80f, 80f, 2.5e-7),
        new Function("erf", VectorMath.Erf, VectorMath.Erf, ErrorFunction, -5f, 5f, 2e-7),
        new Function("erf", VectorMath.Erf, VectorMath.Erf, ErrorFunction, -0.001f, 0.001f, 1.3e-7),
        new Function("rsqrt", VectorMath.Rsqrt, VectorMath.Rsqrt, x => 1 / Math.Sqrt(x), 1e-6f, 1e6f, 1.3e-7),
        new Function("sqrt", VectorMath.Sqrt, VectorMath.Sqrt, Math.Sqrt, 0f, 1e6f, 6e-8),
        new Function("pow 3", x => VectorMath.Pow(x, 3f), x => VectorMath.Pow(x, 3f), x => x * x * x, -10f, 10f, 2e-7),
        new Function("pow -2", x => VectorMath.Pow(x, -2f), x => VectorMath.Pow(x, -2f), x => 1 / (x * x), 0.01f, 10f, 2e-7),
        new Function("pow 1.75", x => VectorMath.Pow(x, 1.75f), x => VectorMath.Pow(x, 1.75f), x => Math.Pow(x, 1.75), 0.01f, 10f, 2e-7),
    ];

    [Theory]
    [MemberData(nameof(Functions))]
    public void Functions_keep_their_promised_error(Function function)
    {
        var random = new Random(3);
        double worst = 0, worstAt = 0;
        for (int i = 0; i < Samples; i++)
        {
            float x = (float)(function.Low + ((function.High - function.Low) * random.NextDouble()));
            double expected = function.Reference(x);
            double error = expected == 0 ? Math.Abs(function.Scalar(x)) : Math.Abs((function.Scalar(x) - expected) / expected);
            if (!(error <= worst))
            {
                (worst, worstAt) = (error, x);
            }
        }

        Assert.True(worst <= function.Tolerance, $"{function}: relative error {worst:E2} at {worstAt:R}.");
    }

    [Theory]
    [MemberData(nameof(Functions))]
    public void A_lane_depends_on_itself_alone(Function function)
    {
        var random = new Random(5);
        for (int i = 0; i < 5_000; i++)
        {
            Vector256<float> x = default;
            for (int lane = 0; lane < Vector256<float>.Count; lane++)
            {
                uint bits = (uint)random.NextInt64(1L << 32);
                x = x.WithElement(lane, i % 2 == 0 ? BitConverter.UInt32BitsToSingle(bits) : (float)((random.NextDouble() - 0.5) * 20));
            }

            Vector256<float> y = function.Vector(x);
            for (int lane = 0; lane < Vector256<float>.Count; lane++)
            {
                float alone = function.Scalar(x.GetElement(lane));
                Assert.True(alone.Equals(y.GetElement(lane)), $"{function.Name}({x.GetElement(lane):R})");
            }
        }
    }

    [Fact]
    public void Edges_of_the_exponential_and_the_logarithm()
    {
        Assert.Equal(1f, VectorMath.Exp(0f));
        Assert.Equal(float.PositiveInfinity, VectorMath.Exp(88.8f));
        Assert.Equal(float.PositiveInfinity, VectorMath.Exp(float.PositiveInfinity));
        Assert.Equal(0f, VectorMath.Exp(-104f));
        Assert.Equal(0f, VectorMath.Exp(float.NegativeInfinity));
        Assert.True(VectorMath.Exp(-100f) is > 0f and < 1e-43f);
        Assert.True(float.IsNaN(VectorMath.Exp(float.NaN)));
        Assert.Equal(0f, VectorMath.Log(1f));
        Assert.Equal(float.NegativeInfinity, VectorMath.Log(0f));
        Assert.Equal(float.PositiveInfinity, VectorMath.Log(float.PositiveInfinity));
        Assert.True(float.IsNaN(VectorMath.Log(-1f)));
        Assert.True(float.IsNaN(VectorMath.Log(float.NaN)));
        Assert.Equal(Math.Log(1e-40f), VectorMath.Log(1e-40f), 1e-5);
    }

    [Fact]
    public void The_softmax_exponential_equals_the_general_one_and_ends_in_zero()
    {
        var random = new Random(6);
        for (int i = 0; i < 100_000; i++)
        {
            float x = (float)(-87.2 * random.NextDouble());
            Assert.Equal(VectorMath.Exp(x), VectorMath.ExpNonPositive(Vector256.Create(x)).ToScalar());
        }

        foreach (float x in (ReadOnlySpan<float>)[-87.4f, -100f, -1e9f, -3e38f, float.NegativeInfinity])
        {
            Assert.Equal(0f, VectorMath.ExpNonPositive(Vector256.Create(x)).ToScalar());
        }

        Assert.Equal(1f, VectorMath.ExpNonPositive(Vector256<float>.Zero).ToScalar());
        Assert.True(float.IsNaN(VectorMath.ExpNonPositive(Vector256.Create(float.NaN)).ToScalar()));
    }

    [Fact]
    public void Saturating_functions_end_exactly()
    {
        Assert.Equal(1f, VectorMath.Tanh(50f));
        Assert.Equal(-1f, VectorMath.Tanh(float.NegativeInfinity));
        Assert.Equal(1f, VectorMath.Erf(6f));
        Assert.Equal(-1f, VectorMath.Erf(-1e30f));
        Assert.Equal(0f, VectorMath.Sigmoid(float.NegativeInfinity));
        Assert.Equal(1f, VectorMath.Sigmoid(float.PositiveInfinity));
        Assert.True(float.IsNaN(VectorMath.Tanh(float.NaN)) && float.IsNaN(VectorMath.Erf(float.NaN)) && float.IsNaN(VectorMath.Sigmoid(float.NaN)));
        Assert.True(float.IsNegative(VectorMath.Tanh(-0f)) && float.IsNegative(VectorMath.Erf(-0f)));
    }

    [Fact]
    public void Sine_and_cosine_hold_over_rotary_angles()
    {
        var random = new Random(9);
        for (int i = 0; i < 200_000; i++)
        {
            float x = (float)((random.NextDouble() - 0.5) * (i % 2 == 0 ? 10 : 400_000));
            Assert.True(Math.Abs(Math.Sin(x) - VectorMath.Sin(x)) <= 6.1e-8, $"sin {x:R}");
            Assert.True(Math.Abs(Math.Cos(x) - VectorMath.Cos(x)) <= 6.1e-8, $"cos {x:R}");
        }

        Assert.Equal(0f, VectorMath.Sin(0f));
        Assert.Equal(1f, VectorMath.Cos(0f));
    }

    /// <summary>erf by its series below 2 and by the continued fraction of erfc above, both converged in F64.</summary>
    private static double ErrorFunction(double x)
    {
        double t = Math.Abs(x);
        if (t < 2)
        {
            double term = t, sum = t;
            for (int n = 1; Math.Abs(term) > 1e-18 * sum && n < 200; n++)
            {
                term *= -t * t / n;
                sum += term / ((2 * n) + 1);
            }

            return Math.CopySign(2 / Math.Sqrt(Math.PI) * sum, x);
        }

        double fraction = t;
        for (int n = 120; n >= 1; n--)
        {
            fraction = t + (n / 2.0 / fraction);
        }

        return Math.CopySign(1 - (Math.Exp(-t * t) / Math.Sqrt(Math.PI) / fraction), x);
    }
}
