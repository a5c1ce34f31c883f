using System;
using System.Linq;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Fp8Lm.Cuda.Jit;
using Fp8Lm.Execution;
using Fp8Lm.Runtime.Tests.Jit;
using Xunit;
using Library = Fp8Lm.Cuda.Jit.DeviceLibrary;

namespace Fp8Lm.Runtime.Tests.DeviceLibrary;

public sealed partial class HeaderTests
{
    // Lower layers first; a header includes its own layer and those before it.
    private static readonly string[] Layers = ["common", "ptx", "mma", "reduce", "epilogue", "row", "cast", "gemm", "attention", "optim", "loss", "embed"];

    // Whole kernels: they build on the layers below and know nothing of each other.
    private static readonly string[] Kernels = ["row", "cast", "gemm", "attention", "optim", "loss", "embed"];

    public static TheoryData<string> Names => [.. Library.Headers.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void EveryHeaderCompilesAlone(string name)
    {
        Needs.Nvrtc();
        CompiledKernel kernel = KernelCompiler.Compile($"#include <{name}>\nextern \"C\" __global__ void nothing() {{}}", []);
        Assert.DoesNotContain("warning", kernel.Log, StringComparison.Ordinal);
    }

    [Fact]
    public void ChunksOfTheHeadAreThoseOfTheRuntime() => Assert.Contains(
        $"kTargetElements = 1ll << {System.Numerics.BitOperations.Log2((ulong)HeadChunk.TargetElements)};", Library.Headers["fp8lm/common/chunk_rows.cuh"], StringComparison.Ordinal);

    [Theory]
    [MemberData(nameof(Names))]
    public void IncludesPointDown(string name)
    {
        string layer = Layer(name);
        Assert.Contains(layer, Layers);
        foreach (string included in Include().Matches(Library.Headers[name]).Select(match => match.Groups[1].Value))
        {
            Assert.Contains(included, Library.Headers.Keys);
            string other = Layer(included);
            bool legal = other == layer || (Array.IndexOf(Layers, other) < Array.IndexOf(Layers, layer) && !Kernels.Contains(other));
            Assert.True(legal, $"{name} includes {included}");
        }
    }

    /// <summary>Both compilers align naturally, so equal fields in equal order are an equal layout; the size confirms it.</summary>
    [Fact]
    public void TheStepStateHasTheSameLayoutOnBothSides()
    {
        Needs.Nvrtc();
        Assert.Equal(
            typeof(StepState).GetFields(BindingFlags.Public | BindingFlags.Instance).Select(field => $"{CudaType(field.FieldType)} {field.Name}"),
            Field().Matches(Library.Headers["fp8lm/common/step_state.cuh"]).Select(match => match.Groups[1].Value));
        _ = KernelCompiler.Compile(
            $"#include <fp8lm/common/step_state.cuh>\nstatic_assert(sizeof(fp8lm::StepState) == {Marshal.SizeOf<StepState>()}, \"size\");\n"
            + "extern \"C\" __global__ void nothing() {}",
            []);
    }

    [Fact]
    public void StatisticsOfCastsHaveTheSameLayoutOnBothSides()
    {
        Needs.Nvrtc();
        string fields = Regex.Match(Library.Headers["fp8lm/reduce/cast_counter.cuh"], "struct CastStatistics\\s*{([^}]*)}").Groups[1].Value;
        Assert.Equal(
            typeof(Fp8Lm.Numerics.CastStatistics).GetFields(BindingFlags.Public | BindingFlags.Instance).Select(field => Regex.Replace(field.Name, "(?<=.)([A-Z])", "_$1").ToLowerInvariant()),
            fields.Split([';', ','], StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(field => field.Split(' ')[^1]));
        _ = KernelCompiler.Compile(
            $"#include <fp8lm/reduce/cast_counter.cuh>\nstatic_assert(sizeof(fp8lm::CastStatistics) == {System.Runtime.CompilerServices.Unsafe.SizeOf<Fp8Lm.Numerics.CastStatistics>()}, \"size\");\n"
            + $"static_assert(sizeof(fp8lm::ExactSum) == {8 * Fp8Lm.Numerics.ExactSum.Bins}, \"bins\");\nextern \"C\" __global__ void nothing() {{}}",
            []);
    }

    [Fact]
    public void TheLossScaleHasTheSameLayoutOnBothSides()
    {
        Needs.Nvrtc();
        Assert.Equal(
            typeof(LossScaleState).GetFields(BindingFlags.Public | BindingFlags.Instance).Select(field => $"{CudaType(field.FieldType)} {field.Name}"),
            Field().Matches(Library.Headers["fp8lm/optim/loss_scale.cuh"]).Select(match => match.Groups[1].Value));
        string largest = LossScaleState.Largest.ToString("R", System.Globalization.CultureInfo.InvariantCulture);
        _ = KernelCompiler.Compile(
            $"#include <fp8lm/optim/loss_scale.cuh>\nstatic_assert(sizeof(fp8lm::optim::LossScaleState) == {Marshal.SizeOf<LossScaleState>()}, \"size\");\n"
            + $"static_assert(fp8lm::optim::LossScaleState::kLargest == {largest}f, \"largest\");\nextern \"C\" __global__ void nothing() {{}}",
            []);
    }

    [Fact]
    public void ASegmentHasTheSameLayoutOnBothSides()
    {
        Needs.Nvrtc();
        string[] names = ["master", "gradient", "first", "second", "first_tile", "elements", "weight_slot", "flags", "first_group"];
        Assert.Equal(
            typeof(StateSegment).GetFields(BindingFlags.Public | BindingFlags.Instance).Zip(names, (field, name) => $"{CudaType(field.FieldType)} {name}"),
            Field().Matches(Library.Headers["fp8lm/optim/segment.cuh"]).Take(names.Length).Select(match => match.Groups[1].Value));
        _ = KernelCompiler.Compile(
            $"#include <fp8lm/optim/segment.cuh>\nstatic_assert(sizeof(fp8lm::optim::Segment) == {Marshal.SizeOf<StateSegment>()}, \"size\");\n"
            + $"static_assert(fp8lm::optim::kSegmentTile == {StateSegment.TileElements}, \"tile\");\nextern \"C\" __global__ void nothing() {{}}",
            []);
    }

    private static string CudaType(Type type) => type == typeof(float) ? "float" : type == typeof(uint) ? "u32" : type == typeof(double) ? "double" : type == typeof(long) ? "i64" : type == typeof(int) ? "int" : type.IsEnum ? CudaType(type.GetEnumUnderlyingType()) : type.Name;

    private static string Layer(string name) => name.Split('/')[1];

    [GeneratedRegex("#include <([^>]+)>")]
    private static partial Regex Include();

    [GeneratedRegex("^    (\\w+ \\w+);", RegexOptions.Multiline)]
    private static partial Regex Field();
}
