using System;
using System.Linq;
using System.Threading.Tasks;
using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>
/// Fills master weights. Every number is a function of the seed, the instance's name and the element's index, so neither the order of
/// parameters nor the device nor the number of threads matters.
/// </summary>
public static class ParameterInitializer
{
    // Pieces start at even indices, so a pair never straddles two of them.
    private const int RunElements = 1 << 14;

    /// <summary>Initialises all instances of all parameters; moments and gradients are zero in a new session.</summary>
    public static void Initialize(Session session, ModelDefinition definition, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(definition);
        long blocks = definition.Parameters.Where(p => p.Repeated).Select(p => p.Layers(session.Dims)).DefaultIfEmpty(1).Max();
        for (int p = 0; p < definition.Parameters.Length; p++)
        {
            ParameterInfo parameter = definition.Parameters[p];
            long bytes = parameter.Elements(session.Dims) * sizeof(float);
            for (long layer = 0; layer < parameter.Layers(session.Dims); layer++)
            {
                Initialize(session, session.Master(p, layer), bytes, parameter, CounterRandom.Key(seed, parameter.InstanceName(layer)), blocks);
            }
        }
    }

    private static unsafe void Initialize(Session session, nint destination, long bytes, ParameterInfo parameter, ulong key, long blocks)
    {
        switch (parameter.Init)
        {
            case InitKind.Zeros:
                session.Clear(destination, bytes);
                break;
            case InitKind.Ones:
                Fill((first, values) => values.Fill(1f));
                break;
            case InitKind.Constant:
                Fill((first, values) => values.Fill(parameter.InitValue));
                break;
            case InitKind.ScaledNormal:
                FillNormal(parameter.InitValue / Math.Sqrt(2.0 * blocks));
                break;
            default:
                FillNormal(parameter.InitValue);
                break;
        }

        void FillNormal(double deviation) => Fill((first, values) => NormalNumbers.Fill(values, key, (ulong)first / 2, deviation));

        void Fill(RunWriter write) => session.WritePieces(destination, bytes, (offset, address, length) =>
        {
            int count = length / sizeof(float);
            Parallel.For(0, (count + RunElements - 1) / RunElements, run =>
            {
                int start = run * RunElements;
                write((offset / sizeof(float)) + start, new Span<float>((float*)address + start, Math.Min(RunElements, count - start)));
            });
        });
    }

    /// <summary>Writes the elements from number <paramref name="first"/> on.</summary>
    private delegate void RunWriter(long first, Span<float> values);
}
