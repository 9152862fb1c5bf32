export const version = '1.6.18-freebsd-rss';
