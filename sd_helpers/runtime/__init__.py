"""What computes, and with how much: devices, threads, memory, compiled and translated U-Nets."""
