using System;
using System.Linq;
using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>
/// Fills master weights. Every number is a function of the seed, the instance's name and the element's index, so neither the order of
/// parameters nor the device nor the number of threads matters.
/// </summary>
public static class ParameterInitializer
{
    /// <summary>Initialises all instances of all parameters; moments and gradients are zero in a new session.</summary>
    public static void Initialize(Session session, ModelDefinition definition, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(definition);
        long blocks = definition.Parameters.Where(p => p.Repeated).Select(p => p.Layers(session.Dims)).DefaultIfEmpty(1).Max();
        for (int p = 0; p < definition.Parameters.Length; p++)
        {
            ParameterInfo parameter = definition.Parameters[p];
            for (long layer = 0; layer < parameter.Layers(session.Dims); layer++)
            {
                Initialize(session, p, layer, parameter, CounterRandom.Key(seed, parameter.InstanceName(layer)), blocks);
            }
        }
    }

    private static void Initialize(Session session, int index, long layer, ParameterInfo parameter, ulong key, long blocks)
    {
        switch (parameter.Init)
        {
            case InitKind.Zeros:
                Fill((first, values) => values.Clear());
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

        void Fill(ParameterMemory.ElementWriter write) => session.FillParameter(ArenaKind.Master, index, layer, write);
    }
}
