using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using Fp8Lm.Checkpoints;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Checkpoints;

public sealed class SafetensorsWriterTests : IDisposable
{
    private static readonly Dictionary<string, string> metadata = new() { ["note"] = "quotes \" and ü" };
    private readonly string folder = Directory.CreateTempSubdirectory("fp8lm-test-").FullName;

    private string FilePath => Path.Combine(folder, "x.safetensors");

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void What_was_written_is_read()
    {
        SafetensorsWriter.Write(FilePath, Tensors(), metadata);

        using SafetensorsFile file = SafetensorsFile.Open(FilePath);
        Assert.Equal("quotes \" and ü", file.Header.Metadata["note"]);
        var read = new List<byte>();
        file.Read(file.Require("long", "U8", 3_000_000), (offset, bytes) =>
        {
            Assert.Equal(read.Count, offset);
            read.AddRange(bytes);
        });
        Assert.Equal(Enumerable.Range(0, 3_000_000).Select(i => (byte)(i % 251)), read);
        Assert.Equal(0, file.Header.Tensors["empty"].Length);
        file.Verify();
    }

    [Fact]
    public void Every_flipped_bit_is_noticed_and_data_damage_is_named()
    {
        SafetensorsWriter.Write(FilePath, Tensors()[1..], metadata);
        byte[] good = File.ReadAllBytes(FilePath);
        int dataStart = 8 + (int)BitConverter.ToUInt64(good);

        // Every byte of the file; the bit differs from byte to byte.
        for (int place = 0; place < good.Length; place++)
        {
            byte[] bad = [.. good];
            bad[place] ^= (byte)(1 << (place % 8));
            File.WriteAllBytes(FilePath, bad);
            string? message = Damage(FilePath);
            Assert.True(message is not null, $"byte {place} of {good.Length}");
            if (place >= dataStart)
            {
                Assert.Contains("tensor 'short' is damaged", message, StringComparison.Ordinal);
            }
        }
    }

    [Fact]
    public void Every_truncation_is_noticed()
    {
        SafetensorsWriter.Write(FilePath, Tensors()[1..], metadata);
        byte[] good = File.ReadAllBytes(FilePath);
        for (int length = 0; length < good.Length; length += 3)
        {
            File.WriteAllBytes(FilePath, good[..length]);
            Assert.NotNull(Damage(FilePath));
        }
    }

    [Fact]
    public void Equal_content_gives_equal_bytes()
    {
        SafetensorsWriter.Write(FilePath, Tensors(), metadata);
        byte[] first = File.ReadAllBytes(FilePath);
        SafetensorsWriter.Write(FilePath, Tensors(), metadata);

        Assert.Equal(first, File.ReadAllBytes(FilePath));
    }

    [Fact]
    public void A_failing_write_leaves_the_old_file_and_no_other()
    {
        SafetensorsWriter.Write(FilePath, Tensors(), metadata);
        byte[] old = File.ReadAllBytes(FilePath);
        var failing = new TensorToWrite("t", "U8", [10_000_000], (offset, _) =>
        {
            if (offset > 5_000_000)
            {
                throw new IOException("No space left on device");
            }
        });

        Assert.Throws<IOException>(() => SafetensorsWriter.Write(FilePath, [failing], metadata));

        Assert.Equal(old, File.ReadAllBytes(FilePath));
        Assert.Equal([FilePath], Directory.GetFiles(folder));
    }

    [Fact]
    public void A_full_disk_leaves_the_old_file_and_no_other()
    {
        string disk = Path.Combine(folder, "disk");
        Directory.CreateDirectory(disk);
        Assert.SkipUnless(Shell("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk), "Needs the right to mount a small file system.");
        try
        {
            string path = Path.Combine(disk, "x.safetensors");
            SafetensorsWriter.Write(path, [Zeros(50_000)], metadata);
            byte[] old = File.ReadAllBytes(path);

            Assert.ThrowsAny<IOException>(() => SafetensorsWriter.Write(path, [Zeros(1_000_000)], metadata));

            Assert.Equal(old, File.ReadAllBytes(path));
            Assert.Equal([path], Directory.GetFiles(disk));
        }
        finally
        {
            Shell("umount", disk);
        }
    }

    private static TensorToWrite Zeros(long bytes) => new("zeros", "U8", [bytes], (_, destination) => destination.Clear());

    private static TensorToWrite[] Tensors() =>
    [
        new("long", "U8", [3_000_000], (offset, bytes) =>
        {
            for (int i = 0; i < bytes.Length; i++)
            {
                bytes[i] = (byte)((offset + i) % 251);
            }
        }),
        new("short", "F32", [3, 2], (_, bytes) => bytes.Fill(0x3F)),
        new("empty", "BF16", [0, 5], (_, _) => { }),
    ];

    /// <summary>What is wrong with a file that must carry digests; null if nothing is.</summary>
    private static string? Damage(string path)
    {
        try
        {
            using SafetensorsFile file = SafetensorsFile.Open(path);
            if (!file.Header.Metadata.ContainsKey(SafetensorsFile.HeaderDigestKey))
            {
                return "no header digest";
            }

            file.Verify();
            return null;
        }
        catch (CheckpointException failure)
        {
            return failure.Message;
        }
    }

    private static bool Shell(string command, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(command, arguments) { RedirectStandardError = true })!;
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }
}
