using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.IO;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Fp8Lm.Checkpoints;

/// <summary>Fills a piece of a tensor from wherever it lives.</summary>
public delegate void TensorFill(long offset, Span<byte> destination);

/// <summary>A tensor to be written.</summary>
/// <param name="Name">Its name; unique in the file.</param>
/// <param name="DataType">Element type as safetensors spells it.</param>
/// <param name="Shape">Extents.</param>
/// <param name="Fill">Gives its bytes, piece by piece, in order.</param>
public sealed record TensorToWrite(string Name, string DataType, IReadOnlyList<long> Shape, TensorFill Fill);

/// <summary>
/// Writes safetensors files with digests in one pass over the data: the header goes out first with zeros where digests belong, and these
/// places are filled in when the data has passed by. Equal input gives equal bytes.
/// </summary>
public static class SafetensorsWriter
{
    private const int DigestCharacters = 64;

    /// <summary>Writes a file in place of <paramref name="path"/>; readers see the old file or the whole new one, never a part.</summary>
    /// <exception cref="IOException">The disk is full or the folder cannot be written; what was there stays.</exception>
    public static void Write(string path, IReadOnlyList<TensorToWrite> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        ArgumentNullException.ThrowIfNull(metadata);
        (byte[] header, List<int> digestPlaces, int headerDigestPlace, long dataBytes) = BuildHeader(tensors, metadata);
        AtomicFile.Write(path, 8 + header.Length + dataBytes, stream =>
        {
            Span<byte> prefix = stackalloc byte[8];
            BinaryPrimitives.WriteInt64LittleEndian(prefix, header.Length);
            stream.Write(prefix);
            stream.Write(header);
            byte[] buffer = new byte[SafetensorsFile.PieceBytes];
            for (int i = 0; i < tensors.Count; i++)
            {
                Put(header, digestPlaces[i], WriteTensor(stream, tensors[i], buffer));
            }

            Put(header, headerDigestPlace, SHA256.HashData(header));
            stream.Position = prefix.Length;
            stream.Write(header);
        });
    }

    private static byte[] WriteTensor(FileStream stream, TensorToWrite tensor, byte[] buffer)
    {
        using var digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long length = Length(tensor);
        for (long offset = 0; offset < length;)
        {
            Span<byte> piece = buffer.AsSpan(0, (int)Math.Min(buffer.Length, length - offset));
            tensor.Fill(offset, piece);
            digest.AppendData(piece);
            stream.Write(piece);
            offset += piece.Length;
        }

        return digest.GetHashAndReset();
    }

    private static (byte[] Header, List<int> DigestPlaces, int HeaderDigestPlace, long DataBytes) BuildHeader(
        IReadOnlyList<TensorToWrite> tensors, IReadOnlyDictionary<string, string> metadata)
    {
        string zeros = new('0', DigestCharacters);
        var text = new MemoryStream();
        var places = new List<int>();
        long position = 0;
        using (var json = new Utf8JsonWriter(text, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            json.WriteStartObject(SafetensorsHeader.MetadataKey);
            foreach ((string key, string value) in metadata)
            {
                json.WriteString(key, value);
            }

            json.WriteString(SafetensorsFile.HeaderDigestKey, zeros);
            places.Add(ValueStart(json));
            foreach (TensorToWrite tensor in tensors)
            {
                json.WriteString(SafetensorsFile.TensorDigestPrefix + tensor.Name, zeros);
                places.Add(ValueStart(json));
            }

            json.WriteEndObject();
            foreach (TensorToWrite tensor in tensors)
            {
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", tensor.DataType);
                WriteNumbers(json, "shape", tensor.Shape);
                WriteNumbers(json, "data_offsets", [position, position += Length(tensor)]);
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }

        // Data starts at a multiple of 8, as other readers like it.
        while (text.Length % 8 != 0)
        {
            text.WriteByte((byte)' ');
        }

        return (text.ToArray(), places[1..], places[0], position);
    }

    private static long Length(TensorToWrite tensor) =>
        TensorEntry.ByteLength(tensor.DataType, tensor.Shape)
        ?? throw new ArgumentException($"Tensor '{tensor.Name}' has the type {tensor.DataType} and shape [{string.Join(", ", tensor.Shape)}], which have no size.", nameof(tensor));

    private static int ValueStart(Utf8JsonWriter json) => checked((int)(json.BytesCommitted + json.BytesPending)) - DigestCharacters - 1;

    private static void Put(byte[] header, int place, byte[] digest) => Encoding.ASCII.GetBytes(Convert.ToHexStringLower(digest), header.AsSpan(place));

    private static void WriteNumbers(Utf8JsonWriter json, string name, IReadOnlyList<long> numbers)
    {
        json.WriteStartArray(name);
        foreach (long number in numbers)
        {
            json.WriteNumberValue(number);
        }

        json.WriteEndArray();
    }
}
