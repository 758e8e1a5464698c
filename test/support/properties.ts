import fc from 'fast-check';

// What is said to be at most so long is to be that long at times: by default fast-check makes no list of more than ten.
fc.configureGlobal({ defaultSizeToMaxWhenMaxSpecified: true });
