using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Execution;
using Fp8Lm.Generators;
using Fp8Lm.Generators.Emit;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;
using Fp8Lm.Parity.Tests.Harness;
using Fp8Lm.Parity.Tests.Reference;
using Xunit;

namespace Fp8Lm.Parity.Tests;

/// <summary>Every value that a kernel of a training step stores, against the reference, launch by launch: a wrong kernel is named, not just a wrong gradient.</summary>
public sealed class KernelTests
{
    private const double Tolerance = 1e-4;

    public static TheoryData<string> Models => GraphTests.Models;

    [Theory]
    [MemberData(nameof(Models))]
    public void EveryStoredValueAgreesWithTheReference(string model)
    {
        Problem problem = new(ModelSources.Spec(model));
        List<CompileError> errors = [];
        CompiledProgram compiled = ModelCompiler.CompileRecipe(problem.Spec, problem.Spec.Recipes.First(r => r.Name == "Fp32"), errors, verify: true)!;
        GraphInterpreter reference = GraphInterpreter.Run(compiled.Graph, problem);
        using ModelRun run = new(problem, "Fp32");
        Dictionary<int, int> launches = [];
        List<string> wrong = [];
        TracingSession tracer = new(run.Session, Check);
        run.Train(tracer);
        Assert.True(wrong.Count == 0, string.Join("\n", wrong.Take(10)));

        void Check(int index, nint[] args)
        {
            if (index >= compiled.Kernels.Count)
            {
                return;
            }

            KernelProgram kernel = compiled.Kernels[index];
            Block block = kernel.Group.Block;
            int nth = launches.GetValueOrDefault(index);
            launches[index] = nth + 1;
            int layer = block.Loop is null ? -1 : block.Descending ? (int)problem.Extent(block.Loop.Count) - 1 - nth : nth;
            int rows = block.Phase == Phase.Head ? (int)run.Program.ChunkRows(run.Session.Dims) : problem.TokenCount;
            foreach (Value value in kernel.Group.Stores)
            {
                RealArray expected = reference.Value(value, layer);
                double[]? actual = StoredValue.Read(run.Session, compiled, kernel, args, value, expected, problem, rows);
                if (actual is null)
                {
                    continue;
                }

                int first = block.Phase == Phase.Head ? nth * rows * expected.Features : 0;
                double error = Measure.RelativeError(expected.Data.AsSpan(first, actual.Length), actual, floor: 1e-9);
                if (!(error <= Tolerance))
                {
                    wrong.Add(FormattableString.Invariant($"{kernel.Name}, layer {layer}: {value.Node} [{string.Join(", ", expected.Dims)}] is off by {error:E1}"));
                }
            }
        }
    }
}
