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
    private const int PieceElements = 1 << 20;

    /// <summary>Initialises all instances of all parameters; moments and gradients are zero in a new session.</summary>
    public static void Initialize(Session session, ModelDefinition definition, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(definition);
        long blocks = definition.Parameters.Where(p => p.Repeated).Select(p => p.Layers(session.Dims)).DefaultIfEmpty(1).Max();
        float[] buffer = new float[PieceElements];
        for (int p = 0; p < definition.Parameters.Length; p++)
        {
            ParameterInfo parameter = definition.Parameters[p];
            long elements = parameter.Elements(session.Dims);
            for (long layer = 0; layer < parameter.Layers(session.Dims); layer++)
            {
                ulong key = CounterRandom.Key(seed, parameter.InstanceName(layer));
                for (long first = 0; first < elements; first += PieceElements)
                {
                    int count = (int)Math.Min(PieceElements, elements - first);
                    Fill(buffer, count, first, key, parameter, blocks);
                    session.Write<float>(buffer.AsSpan(0, count), session.Master(p, layer) + (nint)(first * sizeof(float)));
                }
            }
        }
    }

    private static void Fill(float[] values, int count, long first, ulong key, ParameterInfo parameter, long blocks)
    {
        switch (parameter.Init)
        {
            case InitKind.Zeros:
                values.AsSpan(0, count).Clear();
                break;
            case InitKind.Ones:
                values.AsSpan(0, count).Fill(1f);
                break;
            case InitKind.Constant:
                values.AsSpan(0, count).Fill(parameter.InitValue);
                break;
            case InitKind.ScaledNormal:
                FillNormal(values, count, first, key, parameter.InitValue / Math.Sqrt(2.0 * blocks));
                break;
            default:
                FillNormal(values, count, first, key, parameter.InitValue);
                break;
        }
    }

    private static void FillNormal(float[] values, int count, long first, ulong key, double deviation)
    {
        // Pieces start at even indices, so a pair never straddles two of them.
        const int run = 1 << 14;
        Parallel.For(0, (count + run - 1) / run, part =>
        {
            for (int i = part * run; i < Math.Min(count, (part + 1) * run); i += 2)
            {
                (double a, double b) = CounterRandom.NormalPair(key, (ulong)(first + i) / 2);
                values[i] = (float)(a * deviation);
                if (i + 1 < count)
                {
                    values[i + 1] = (float)(b * deviation);
                }
            }
        });
    }
}
