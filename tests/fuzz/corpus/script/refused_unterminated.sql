UPDATE t SET a = 'x
