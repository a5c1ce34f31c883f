using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json;

namespace Fp8Lm.Checkpoints;

/// <summary>
/// The parsed header of a safetensors file. Files are not trusted: every number is checked against the length of the file, and tensors
/// must cover the data part exactly, without gap or overlap, as the format demands.
/// </summary>
public sealed class SafetensorsHeader
{
    /// <summary>Longest header that is read: room for fifty thousand tensors.</summary>
    public const int LongestHeader = 16 << 20;

    internal const string MetadataKey = "__metadata__";
    private const int HighestRank = 16;

    private readonly Dictionary<string, TensorEntry> tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> metadata = new(StringComparer.Ordinal);

    private SafetensorsHeader()
    {
    }

    /// <summary>The tensors by name.</summary>
    public IReadOnlyDictionary<string, TensorEntry> Tensors => tensors;

    /// <summary>The free-form metadata.</summary>
    public IReadOnlyDictionary<string, string> Metadata => metadata;

    /// <summary>Byte range of the value of the header's own digest inside the header, quotes excluded; (-1, 0) without one.</summary>
    internal (int Start, int Length) HeaderDigest { get; private set; } = (-1, 0);

    /// <summary>Parses the JSON text of a header.</summary>
    /// <param name="json">The header's bytes.</param>
    /// <param name="dataBytes">Bytes of the file after the header.</param>
    /// <exception cref="CheckpointException">The header is not valid.</exception>
    public static SafetensorsHeader Parse(ReadOnlySpan<byte> json, long dataBytes)
    {
        var header = new SafetensorsHeader();
        try
        {
            var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 4 });
            Expect(ref reader, JsonTokenType.StartObject, "the header to start with '{'");
            while (Next(ref reader) == JsonTokenType.PropertyName)
            {
                string name = reader.GetString()!;
                Expect(ref reader, JsonTokenType.StartObject, $"an object for {CheckpointException.Quote(name)}");
                if (name == MetadataKey)
                {
                    header.ReadMetadata(ref reader);
                }
                else
                {
                    header.ReadTensor(ref reader, name, dataBytes);
                }
            }

            if (reader.Read())
            {
                throw new CheckpointException("The header goes on after its JSON object.");
            }
        }
        catch (Exception failure) when (failure is JsonException or InvalidOperationException or FormatException)
        {
            // InvalidOperationException is what the reader throws for bytes that are not UTF-8.
            throw new CheckpointException($"The header is not valid JSON: {failure.Message}", failure);
        }

        header.CheckCoverage(dataBytes);
        return header;
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        while (Next(ref reader) == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            Expect(ref reader, JsonTokenType.String, $"text for metadata {CheckpointException.Quote(key)}");
            if (!metadata.TryAdd(key, reader.GetString()!))
            {
                throw new CheckpointException($"Metadata {CheckpointException.Quote(key)} appears twice.");
            }

            if (key == SafetensorsFile.HeaderDigestKey)
            {
                HeaderDigest = ((int)reader.TokenStartIndex + 1, reader.ValueSpan.Length);
            }
        }
    }

    private void ReadTensor(ref Utf8JsonReader reader, string name, long dataBytes)
    {
        string quoted = CheckpointException.Quote(name);
        string? dataType = null;
        List<long>? shape = null, offsets = null;
        while (Next(ref reader) == JsonTokenType.PropertyName)
        {
            string property = reader.GetString()!;
            bool repeated = property switch { "dtype" => dataType is not null, "shape" => shape is not null, "data_offsets" => offsets is not null, _ => false };
            if (repeated)
            {
                throw new CheckpointException($"Tensor {quoted} has two values for {property}.");
            }

            switch (property)
            {
                case "dtype":
                    Expect(ref reader, JsonTokenType.String, $"text for the dtype of {quoted}");
                    dataType = reader.GetString();
                    break;
                case "shape":
                    shape = ReadNumbers(ref reader, HighestRank, $"the shape of {quoted}");
                    break;
                case "data_offsets":
                    offsets = ReadNumbers(ref reader, 2, $"the data offsets of {quoted}");
                    break;
                default:
                    throw new CheckpointException($"Tensor {quoted} has an unknown property {CheckpointException.Quote(property)}.");
            }
        }

        if (dataType is null || shape is null || offsets is not { Count: 2 })
        {
            throw new CheckpointException($"Tensor {quoted} needs dtype, shape and two data offsets.");
        }

        (long start, long end) = (offsets[0], offsets[1]);
        if (start > end || end > dataBytes)
        {
            throw new CheckpointException($"Tensor {quoted} lies at bytes {start} to {end} of {dataBytes}.");
        }

        if (TensorEntry.ElementBytes(dataType) == 0)
        {
            throw new CheckpointException($"Tensor {quoted} has the unknown dtype {CheckpointException.Quote(dataType)}.");
        }

        var entry = new TensorEntry(name, dataType, shape, start, end - start);
        if (TensorEntry.ByteLength(dataType, shape) != entry.Length)
        {
            throw new CheckpointException($"Tensor {quoted} is {entry.Describe()} but has {entry.Length} bytes.");
        }

        if (!tensors.TryAdd(name, entry))
        {
            throw new CheckpointException($"Tensor {quoted} appears twice.");
        }
    }

    private static List<long> ReadNumbers(ref Utf8JsonReader reader, int most, string what)
    {
        Expect(ref reader, JsonTokenType.StartArray, $"an array for {what}");
        var numbers = new List<long>();
        while (Next(ref reader) == JsonTokenType.Number)
        {
            if (!reader.TryGetInt64(out long number) || number < 0 || numbers.Count == most)
            {
                throw new CheckpointException($"Expected at most {most} non-negative integers for {what}.");
            }

            numbers.Add(number);
        }

        return reader.TokenType == JsonTokenType.EndArray ? numbers : throw new CheckpointException($"Expected only numbers for {what}.");
    }

    private void CheckCoverage(long dataBytes)
    {
        long position = 0;
        TensorEntry? previous = null;
        foreach (TensorEntry tensor in tensors.Values.OrderBy(t => t.Start).ThenBy(t => t.Length))
        {
            if (tensor.Start != position)
            {
                string before = previous is null ? "the start of the data" : CheckpointException.Quote(previous.Name);
                throw new CheckpointException(
                    $"Tensor {CheckpointException.Quote(tensor.Name)} starts at byte {tensor.Start}; {before} ends at {position}, so there is "
                    + (tensor.Start > position ? "a gap." : "an overlap."));
            }

            position = tensor.Start + tensor.Length;
            previous = tensor;
        }

        if (position != dataBytes)
        {
            throw new CheckpointException($"The tensors end at byte {position} of the data, but the file has {dataBytes} bytes of data.");
        }
    }

    private static JsonTokenType Next(ref Utf8JsonReader reader) => reader.Read() ? reader.TokenType : throw new CheckpointException("The header ends too early.");

    private static void Expect(ref Utf8JsonReader reader, JsonTokenType type, string what)
    {
        if (Next(ref reader) != type)
        {
            throw new CheckpointException($"Expected {what}, found {reader.TokenType}.");
        }
    }
}
