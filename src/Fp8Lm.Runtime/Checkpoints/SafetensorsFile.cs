using System;
using System.Buffers;
using System.Buffers.Binary;
using System.IO;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Fp8Lm.Checkpoints;

/// <summary>Takes a piece of a tensor: its offset inside the tensor and the bytes, which are valid during the call only.</summary>
public delegate void TensorPiece(long offset, ReadOnlySpan<byte> bytes);

/// <summary>
/// A safetensors file opened for reading. Files written by <see cref="SafetensorsWriter"/> carry a SHA-256 per tensor and one of the header
/// in their metadata; when present they are checked, so a flipped bit anywhere is reported with the tensor it hit.
/// </summary>
public sealed class SafetensorsFile : IDisposable
{
    internal const string HeaderDigestKey = "sha256.header";
    internal const string TensorDigestPrefix = "sha256.tensor.";
    internal const int PieceBytes = 1 << 20;
    private const int PrefixBytes = 8;

    private readonly SafeFileHandle handle;
    private readonly long dataStart;

    private SafetensorsFile(string path, SafeFileHandle handle, SafetensorsHeader header, long dataStart)
    {
        Path = path;
        this.handle = handle;
        Header = header;
        this.dataStart = dataStart;
    }

    /// <summary>Path of the file.</summary>
    public string Path { get; }

    /// <summary>The parsed header.</summary>
    public SafetensorsHeader Header { get; }

    /// <summary>Opens a file and checks its header. Allocates no more than the header's length, which is bounded by the file's.</summary>
    /// <exception cref="CheckpointException">The file is not a valid safetensors file.</exception>
    public static SafetensorsFile Open(string path)
    {
        SafeFileHandle handle = File.OpenHandle(path, options: FileOptions.SequentialScan);
        try
        {
            (SafetensorsHeader header, long dataStart) = ReadHeader(handle);
            return new SafetensorsFile(path, handle, header, dataStart);
        }
        catch (CheckpointException failure)
        {
            handle.Dispose();
            throw new CheckpointException($"{path}: {failure.Message}", failure);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>Looks a tensor up and checks its type and shape.</summary>
    /// <exception cref="CheckpointException">It is missing or different; the message says both.</exception>
    public TensorEntry Require(string name, string dataType, params ReadOnlySpan<long> shape)
    {
        if (!Header.Tensors.TryGetValue(name, out TensorEntry? entry))
        {
            throw new CheckpointException($"{Path}: tensor {CheckpointException.Quote(name)} is missing.");
        }

        bool same = entry.DataType == dataType && entry.Shape.Count == shape.Length;
        for (int i = 0; same && i < shape.Length; i++)
        {
            same = entry.Shape[i] == shape[i];
        }

        return same
            ? entry
            : throw new CheckpointException(
                $"{Path}: tensor {CheckpointException.Quote(name)} is {entry.Describe()}; the model has {dataType}[{string.Join(", ", shape.ToArray())}].");
    }

    /// <summary>Reads a tensor in pieces and checks its digest after the last.</summary>
    /// <exception cref="CheckpointException">The bytes do not match the digest, or the file ends early.</exception>
    public void Read(TensorEntry tensor, TensorPiece piece)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        ArgumentNullException.ThrowIfNull(piece);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(PieceBytes);
        try
        {
            using var digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            for (long offset = 0; offset < tensor.Length;)
            {
                Span<byte> bytes = buffer.AsSpan(0, (int)Math.Min(PieceBytes, tensor.Length - offset));
                if (!Fill(handle, dataStart + tensor.Start + offset, bytes))
                {
                    throw new CheckpointException($"{Path}: the file ends inside tensor {CheckpointException.Quote(tensor.Name)}.");
                }

                digest.AppendData(bytes);
                piece(offset, bytes);
                offset += bytes.Length;
            }

            string found = Convert.ToHexStringLower(digest.GetHashAndReset());
            if (Header.Metadata.TryGetValue(TensorDigestPrefix + tensor.Name, out string? expected) && expected != found)
            {
                throw new CheckpointException($"{Path}: tensor {CheckpointException.Quote(tensor.Name)} is damaged: its bytes do not match the digest in the header.");
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Reads everything and checks every digest.</summary>
    /// <exception cref="CheckpointException">Something is damaged.</exception>
    public void Verify()
    {
        foreach (TensorEntry tensor in Header.Tensors.Values)
        {
            Read(tensor, static (_, _) => { });
        }
    }

    /// <inheritdoc/>
    public void Dispose() => handle.Dispose();

    private static (SafetensorsHeader Header, long DataStart) ReadHeader(SafeFileHandle handle)
    {
        long fileBytes = RandomAccess.GetLength(handle);
        Span<byte> prefix = stackalloc byte[PrefixBytes];
        if (fileBytes < PrefixBytes || !Fill(handle, 0, prefix))
        {
            throw new CheckpointException($"The file has {fileBytes} bytes; a safetensors file starts with 8 bytes that give the length of its header.");
        }

        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (length > (ulong)(fileBytes - PrefixBytes))
        {
            throw new CheckpointException($"The header is said to have {length} bytes, but only {fileBytes - PrefixBytes} follow: the file is cut short or not a safetensors file.");
        }

        if (length > SafetensorsHeader.LongestHeader)
        {
            throw new CheckpointException($"The header is said to have {length} bytes; at most {SafetensorsHeader.LongestHeader} are read.");
        }

        byte[] json = new byte[(int)length];
        if (!Fill(handle, PrefixBytes, json))
        {
            throw new CheckpointException("The file ends inside its header.");
        }

        long dataStart = PrefixBytes + json.Length;
        SafetensorsHeader header = SafetensorsHeader.Parse(json, fileBytes - dataStart);
        CheckHeaderDigest(header, json);
        return (header, dataStart);
    }

    private static void CheckHeaderDigest(SafetensorsHeader header, byte[] json)
    {
        (int start, int length) = header.HeaderDigest;
        if (start < 0)
        {
            return;
        }

        // The digest was taken with zeros in its own place.
        string found = Encoding.ASCII.GetString(json, start, length);
        json.AsSpan(start, length).Fill((byte)'0');
        if (found != Convert.ToHexStringLower(SHA256.HashData(json)))
        {
            throw new CheckpointException("The header is damaged: it does not match its digest.");
        }
    }

    private static bool Fill(SafeFileHandle handle, long position, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            int read = RandomAccess.Read(handle, destination, position);
            if (read == 0)
            {
                return false;
            }

            destination = destination[read..];
            position += read;
        }

        return true;
    }
}
