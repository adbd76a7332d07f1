/** Whether it can name a network interface: the kernel takes 15 bytes (IFNAMSIZ - 1), and these are safe on any command line and in any path. */
export const isInterfaceName = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/.test(text)
