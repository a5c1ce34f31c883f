using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using Fp8Lm.Checkpoints;
using Fp8Lm.Execution;
using Fp8Lm.Training;
using TinyGpt;

namespace Fp8Lm.LossCurves;

/// <summary>Initial weights of a seed as F32 safetensors, under the names that the model gives them.</summary>
internal static class WeightFile
{
    public static string PathOf(string folder, ulong seed) => Path.Combine(folder, FormattableString.Invariant($"weights-{seed}.safetensors"));

    /// <summary>Names of a parameter's instances.</summary>
    public static IEnumerable<string> Instances(ParameterInfo parameter, DimBinding dims)
    {
        for (long layer = 0; layer < parameter.Layers(dims); layer++)
        {
            yield return parameter.InstanceName(layer);
        }
    }

    /// <summary>Writes the master weights of a session.</summary>
    public static void Write(Session session, string path)
    {
        var tensors = new List<TensorToWrite>();
        foreach ((string name, long[] shape, nint address) in Places(session))
        {
            tensors.Add(new TensorToWrite(name, "F32", shape, (offset, bytes) => session.CopyToHost(address + (nint)offset, bytes)));
        }

        SafetensorsWriter.Write(path, tensors, new Dictionary<string, string>());
    }

    /// <summary>Puts the weights of a file into the masters of a session, whatever their format.</summary>
    public static void Read(Session session, string path)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        ParameterInfo[] parameters = Gpt.Definition.Parameters;
        for (int p = 0; p < parameters.Length; p++)
        {
            for (long layer = 0; layer < parameters[p].Layers(session.Dims); layer++)
            {
                float[] values = new float[parameters[p].Elements(session.Dims)];
                file.Read(
                    file.Require(parameters[p].InstanceName(layer), "F32", parameters[p].Shape(session.Dims)),
                    (offset, bytes) => MemoryMarshal.Cast<byte, float>(bytes).CopyTo(values.AsSpan((int)(offset / sizeof(float)))));
                session.WriteParameter(ArenaKind.Master, p, layer, values);
            }
        }
    }

    private static IEnumerable<(string Name, long[] Shape, nint Address)> Places(Session session)
    {
        ParameterInfo[] parameters = Gpt.Definition.Parameters;
        for (int p = 0; p < parameters.Length; p++)
        {
            for (long layer = 0; layer < parameters[p].Layers(session.Dims); layer++)
            {
                yield return (parameters[p].InstanceName(layer), parameters[p].Shape(session.Dims), session.Master(p, layer));
            }
        }
    }
}
