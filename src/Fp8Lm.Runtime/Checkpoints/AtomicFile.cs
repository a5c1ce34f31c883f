using System;
using System.IO;
using System.Runtime.InteropServices;

namespace Fp8Lm.Checkpoints;

/// <summary>Replaces files so that a crash, a kill or a full disk at any moment leaves the old file or the new one.</summary>
public static partial class AtomicFile
{
    /// <summary>Ending of files that are being written; such a file is never read, and deleted when its folder is next opened for training.</summary>
    public const string TemporaryEnding = ".tmp";

    /// <summary>Writes a temporary file in the same folder, forces it to disk, renames it, and forces the folder's entry to disk.</summary>
    /// <param name="path">The file to replace.</param>
    /// <param name="bytes">Expected length, reserved up front so that a full disk shows before the work; 0 if unknown.</param>
    /// <param name="write">Writes the content.</param>
    public static void Write(string path, long bytes, Action<FileStream> write)
    {
        ArgumentNullException.ThrowIfNull(write);
        string full = Path.GetFullPath(path);
        string temporary = full + TemporaryEnding;
        try
        {
            var options = new FileStreamOptions
            {
                Mode = FileMode.Create, Access = FileAccess.ReadWrite, Share = FileShare.None, PreallocationSize = bytes, BufferSize = 0,
            };
            using (var stream = new FileStream(temporary, options))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, full, overwrite: true);
        }
        catch
        {
            TryDelete(temporary);
            throw;
        }

        FlushFolder(Path.GetDirectoryName(full)!);
    }

    /// <summary>Writes a small text file.</summary>
    public static void WriteText(string path, string text)
    {
        byte[] bytes = System.Text.Encoding.UTF8.GetBytes(text);
        Write(path, bytes.Length, stream => stream.Write(bytes));
    }

    internal static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // The first failure is the one to report; a stale temporary file is harmless.
        }
    }

    /// <summary>A rename is durable only once the folder itself is on disk; .NET opens no folders, so this is the C library's job.</summary>
    private static void FlushFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        int descriptor = OpenFile(folder, 0);
        if (descriptor >= 0)
        {
            // Some file systems refuse to sync folders; the data itself is safe by then.
            _ = SyncFile(descriptor);
            _ = CloseFile(descriptor);
        }
    }

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenFile(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync")]
    private static partial int SyncFile(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int CloseFile(int descriptor);
}
